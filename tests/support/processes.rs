//! The processes of a stack, found by the pid files of the emulator, Postgres and Kafka.

use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Pids of the running instances of a function ("averager") of the stack that keeps its data in
/// `data_directory`.
#[must_use]
pub fn instances(data_directory: &Path, function: &str) -> Vec<u32> {
    let prefix = format!("market-data-{function}-");
    noted(data_directory)
        .into_iter()
        .filter(|(name, _)| name.starts_with(&prefix))
        .map(|(_, pid)| pid)
        .collect()
}

/// The pid of the stack's own Postgres, if it runs.
#[must_use]
pub fn postgres(data_directory: &Path) -> Option<u32> {
    let file = std::fs::read_to_string(data_directory.join("postgres/data/postmaster.pid")).ok()?;
    file.lines()
        .next()?
        .trim()
        .parse()
        .ok()
        .filter(|pid| is_running(*pid))
}

/// The pid of the stack's own Kafka, if it has one that runs.
#[must_use]
pub fn kafka(data_directory: &Path) -> Option<u32> {
    let file = std::fs::read_to_string(data_directory.join("kafka/pid")).ok()?;
    file.trim().parse().ok().filter(|pid| is_running(*pid))
}

/// All running processes of a stack, its own Postgres and Kafka included.
#[must_use]
pub fn all(data_directory: &Path) -> Vec<u32> {
    let functions = noted(data_directory).into_iter().map(|(_, pid)| pid);
    functions
        .chain(postgres(data_directory))
        .chain(kafka(data_directory))
        .collect()
}

/// The running processes that the emulator's pid files name, each with its file's name.
fn noted(data_directory: &Path) -> Vec<(String, u32)> {
    let Ok(entries) = std::fs::read_dir(data_directory.join("run")) else {
        return Vec::new();
    };

    let files = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());

    let read = files.filter_map(|file| {
        let pid = file
            .strip_suffix(".pid")?
            .rsplit_once('-')?
            .1
            .parse()
            .ok()?;
        Some((file, pid))
    });

    read.filter(|(_, pid)| is_running(*pid)).collect()
}

/// Whether a process is running. A zombie, which only waits for its parent, is not.
#[must_use]
pub fn is_running(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };

    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.trim_start().chars().next());

    !matches!(state, None | Some('Z' | 'X'))
}

/// Ends a process as `kill -9` does.
pub fn kill_9(pid: u32) {
    signal(pid, Signal::SIGKILL);
}

/// Sends a signal; a process that has already ended is no error.
pub fn signal(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _gone = kill(Pid::from_raw(pid), signal);
    }
}
