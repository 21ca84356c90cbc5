//! Process files, by which the next start finds the processes that a killed emulator left running.
//!
//! A file `<name>-<pid>.pid` has four lines: the process id, the start time from `/proc`, the
//! binary, and the mark of the processes that it started. Start time and binary make sure that no
//! other process is ended that now has the same id.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::family::{self, Member};
use super::liveness;

/// How long leftovers may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(3);

/// A process file that is removed when dropped.
#[derive(Debug)]
pub(crate) struct ProcessFile(PathBuf);

impl ProcessFile {
    /// Notes that `pid`, an instance, runs `binary`, and that the processes it starts have `mark`.
    pub(super) fn write(
        run_directory: &Path,
        name: &str,
        pid: u32,
        binary: &Path,
        mark: &str,
    ) -> io::Result<Self> {
        let started =
            liveness::start_time(pid).ok_or_else(|| io::Error::other("the process is gone"))?;

        let path = run_directory.join(format!("{name}-{pid}.pid"));
        std::fs::write(
            &path,
            format!("{pid}\n{started}\n{}\n{mark}\n", binary.display()),
        )?;

        Ok(Self(path))
    }
}

impl Drop for ProcessFile {
    fn drop(&mut self) {
        // The next start ignores a file whose process has ended.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A process that a process file names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Leftover {
    name: String,
    pid: u32,
    started: u64,
    binary: PathBuf,
    mark: Option<String>,
}

/// Ends the processes that the files in `run_directory` name and those that they started, and
/// removes the files.
///
/// Returns the name and process id of each, for people to read.
pub(crate) fn end_leftovers(run_directory: &Path) -> Vec<String> {
    let Ok(directory) = std::fs::read_dir(run_directory) else {
        return Vec::new();
    };

    let files = directory.filter_map(|entry| Some(entry.ok()?.path()));
    let files: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "pid"))
        .collect();

    let found: Vec<_> = files
        .iter()
        .filter_map(|path| read(path))
        .filter(Leftover::is_left)
        .collect();

    for leftover in &found {
        leftover.signal(Signal::SIGTERM);
    }

    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline && found.iter().any(Leftover::is_left) {
        std::thread::sleep(Duration::from_millis(10));
    }

    for leftover in found.iter().filter(|leftover| leftover.is_left()) {
        leftover.signal(Signal::SIGKILL);
    }

    // Last, so that an interrupted start leaves them to the next one.
    for path in &files {
        let _ = std::fs::remove_file(path);
    }

    found
        .iter()
        .map(|leftover| format!("{} (process {})", leftover.name, leftover.pid))
        .collect()
}

fn read(path: &Path) -> Option<Leftover> {
    let text = std::fs::read_to_string(path).ok()?;
    let mut lines = text.lines();

    let pid = lines.next()?.parse().ok()?;
    let started = lines.next()?.parse().ok()?;
    let binary = PathBuf::from(lines.next()?);
    // An older emulator wrote no mark.

    let mark = lines
        .next()
        .filter(|mark| !mark.is_empty())
        .map(str::to_owned);

    let (name, _) = path.file_stem()?.to_str()?.rsplit_once('-')?;

    Some(Leftover {
        name: name.to_owned(),
        pid,
        started,
        binary,
        mark,
    })
}

impl Leftover {
    /// Whether the process, or one that it started, still runs.
    fn is_left(&self) -> bool {
        self.is_running() || !self.family().is_empty()
    }

    /// Whether this process, and not a later one with its id, still runs. The kernel marks a binary
    /// that was rebuilt since as deleted.
    fn is_running(&self) -> bool {
        let program = std::fs::read_link(format!("/proc/{}/exe", self.pid)).unwrap_or_default();
        let program = program.to_string_lossy();
        let same_program = Path::new(program.trim_end_matches(" (deleted)")) == self.binary;

        same_program && liveness::is_running_since(self.pid, self.started)
    }

    /// The processes with its mark, and those in their groups and below them.
    fn family(&self) -> BTreeSet<Member> {
        self.mark
            .as_deref()
            .map(|mark| family::members(None, mark))
            .unwrap_or_default()
    }

    /// Signals the process, the process group that it leads, and everything that it started.
    fn signal(&self, signal: Signal) {
        let family = self.family();

        if self.is_running()
            && let Ok(pid) = i32::try_from(self.pid)
        {
            let pid = Pid::from_raw(pid);
            // An error means that it has ended, or belongs to another user; then there is nothing
            // to do.
            let _ = killpg(pid, signal).or_else(|_| kill(pid, signal));
        }

        for member in family {
            member.signal(signal);
        }
    }
}

#[cfg(test)]
mod tests;
