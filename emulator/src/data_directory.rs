//! The one directory in which the emulator keeps everything, and the lock that prevents a second
//! emulator from using it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::Unusable;
use crate::backing::{broker, postgres};
use crate::cli::CommonArguments;
use crate::function_host::{leftovers, liveness};

/// The lock's file also marks the directory as one of the emulator.
const LOCK: &str = "market-data.lock";
/// The file that holds this emulator's name in consumer groups.
const GROUP_MEMBER: &str = "group-member";
/// Exists while the emulator is ready. Its lines: the process id, the process's start time, and the
/// URL of the API.
const READY: &str = "ready";

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirectoryError {
    /// Another emulator runs on it.
    #[error(
        "another emulator (process {pid}) uses {directory}; stop it, or choose another with --data-dir"
    )]
    InUse { pid: String, directory: String },
    /// It holds files that no emulator made.
    #[error("{0} is not empty and was not made by the emulator; choose another with --data-dir")]
    Foreign(String),
    /// The file system refused.
    #[error("cannot use {directory} as data directory: {source}")]
    Unusable {
        directory: String,
        source: io::Error,
    },
}

/// Opens the data directory that `arguments` name, and empties it if they ask for that.
pub(crate) async fn open(arguments: &CommonArguments) -> anyhow::Result<DataDirectory> {
    let path = chosen(arguments.data_dir.as_deref())?;
    let directory = DataDirectory::open(&path).map_err(|error| Unusable(error.to_string()))?;

    if arguments.fresh {
        // Leftovers end first: the files that identify them are deleted with the rest.
        let run_directory = directory.run_directory();
        tokio::task::spawn_blocking(move || leftovers::end_leftovers(&run_directory)).await?;
        broker::end_leftover(directory.path()).await?;
        postgres::delete(directory.path()).await?;

        directory
            .clear()
            .with_context(|| format!("cannot empty {}", path.display()))?;
    }

    Ok(directory)
}

/// The directory that `--data-dir` names, or `.data` in the project.
pub(crate) fn chosen(named: Option<&Path>) -> io::Result<PathBuf> {
    match named {
        Some(path) => Ok(path.to_owned()),
        None => Ok(project_directory()?.join(".data")),
    }
}

/// The URL of the API of the emulator that is ready and uses the directory at `path`; empty if it
/// serves none. The lock is not used to find out, because taking it could make an emulator that is
/// just starting fail.
pub(crate) fn noted_as_ready(path: &Path) -> Option<String> {
    let note = fs::read_to_string(path.join(READY)).ok()?;
    let mut lines = note.lines();
    let pid = lines.next()?.parse().ok()?;
    let started = lines.next()?.parse().ok()?;

    liveness::is_running_since(pid, started).then(|| lines.next().unwrap_or_default().to_owned())
}

/// The closest directory that contains a template, from the current one upwards; the current one if
/// none does.
pub(crate) fn project_directory() -> io::Result<PathBuf> {
    let here = std::env::current_dir()?;
    let project = here
        .ancestors()
        .find(|directory| directory.join("template.yaml").is_file());

    Ok(project.unwrap_or(&here).to_owned())
}

/// A data directory that this process alone uses, until this value is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
    _lock: Flock<File>,
}

impl DataDirectory {
    /// Creates the directory if it does not exist, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirectoryError> {
        let directory = path.display().to_string();
        let unusable = |source| DataDirectoryError::Unusable {
            directory: directory.clone(),
            source,
        };

        // Other users may pass through it but not list it, because Postgres may run as another
        // user.
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(path)
            .map_err(unusable)?;

        let path = path.canonicalize().map_err(unusable)?;

        // Before the lock's file is created, since that file marks the directory.
        if !path.join(LOCK).exists() && fs::read_dir(&path).map_err(unusable)?.next().is_some() {
            return Err(DataDirectoryError::Foreign(directory));
        }

        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join(LOCK))
            .map_err(unusable)?;

        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                lock.set_len(0)
                    .and_then(|()| write!(&mut *lock, "{}", std::process::id()))
                    .map_err(unusable)?;

                let directory = Self { path, _lock: lock };
                // The note of an emulator that was killed. Only the holder of the lock may remove
                // it.
                directory.note_end();

                Ok(directory)
            }
            Err((mut file, Errno::EWOULDBLOCK)) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid).map_err(unusable)?;
                Err(DataDirectoryError::InUse { pid, directory })
            }
            Err((_, errno)) => Err(unusable(errno.into())),
        }
    }

    /// Deletes everything in it except the lock.
    pub(crate) fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name() == LOCK {
                continue;
            }

            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// The absolute path of the directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The name by which consumer groups recognize this emulator after a restart. It is generated
    /// the first time.
    pub(crate) fn group_member(&self) -> io::Result<String> {
        let path = self.path.join(GROUP_MEMBER);
        match fs::read_to_string(&path) {
            Ok(name) if !name.is_empty() => return Ok(name),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }

        let name = format!("emulator-{}", uuid::Uuid::new_v4());
        fs::write(path, &name)?;
        Ok(name)
    }

    /// Notes that everything works, and the URL of the API, for [`noted_as_ready`].
    pub(crate) fn note_ready(&self, gateway: &str) -> io::Result<()> {
        let pid = std::process::id();
        let started = liveness::start_time(pid)
            .ok_or_else(|| io::Error::other("/proc does not list this process"))?;

        fs::write(
            self.path.join(READY),
            format!("{pid}\n{started}\n{gateway}\n"),
        )
    }

    /// Removes the note of [`DataDirectory::note_ready`].
    pub(crate) fn note_end(&self) {
        let _not_there = fs::remove_file(self.path.join(READY));
    }

    /// The directory of the files that identify running processes.
    pub(crate) fn run_directory(&self) -> PathBuf {
        self.path.join("run")
    }

    /// The directory in which the scheduler keeps its schedules.
    pub(crate) fn schedules(&self) -> PathBuf {
        self.path.join("schedules")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_emulator_is_told_which_process_holds_the_directory() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let first = DataDirectory::open(&path).unwrap();

        let message = DataDirectory::open(&path).unwrap_err().to_string();
        assert!(
            message.contains(&format!("process {}", std::process::id())),
            "{message}"
        );

        drop(first);
        DataDirectory::open(&path).unwrap();
    }

    #[test]
    fn the_name_in_consumer_groups_stays_and_is_the_directory_s_own() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());

        let name = DataDirectory::open(one.path())
            .unwrap()
            .group_member()
            .unwrap();
        assert_eq!(
            DataDirectory::open(one.path())
                .unwrap()
                .group_member()
                .unwrap(),
            name
        );

        assert_ne!(
            DataDirectory::open(other.path())
                .unwrap()
                .group_member()
                .unwrap(),
            name
        );
    }

    #[test]
    fn a_directory_with_somebody_else_s_files_is_refused_and_left_alone() {
        let foreign = tempfile::tempdir().unwrap();
        let precious = foreign.path().join("thesis.txt");
        fs::write(&precious, "years of work").unwrap();

        let error = DataDirectory::open(foreign.path()).unwrap_err();
        assert!(matches!(error, DataDirectoryError::Foreign(_)), "{error}");
        assert_eq!(fs::read_dir(foreign.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_a_running_emulator_counts_as_ready_and_only_until_it_stops() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        assert_eq!(noted_as_ready(&path), None, "no directory");

        let directory = DataDirectory::open(&path).unwrap();
        assert_eq!(noted_as_ready(&path), None, "it starts");

        directory.note_ready("http://127.0.0.1:8080").unwrap();
        assert_eq!(
            noted_as_ready(&path).as_deref(),
            Some("http://127.0.0.1:8080")
        );

        drop(directory);
        let directory = DataDirectory::open(&path).unwrap();
        assert_eq!(
            noted_as_ready(&path),
            None,
            "another one starts after a kill"
        );

        directory.note_ready("").unwrap();
        assert_eq!(noted_as_ready(&path).as_deref(), Some(""), "it has no API");

        directory.note_end();
        assert_eq!(noted_as_ready(&path), None, "it stops");

        fs::write(
            path.join(READY),
            format!("{}\n1\nhttp://127.0.0.1:8080\n", std::process::id()),
        )
        .unwrap();

        assert_eq!(
            noted_as_ready(&path),
            None,
            "it was killed, and its process id is another's now"
        );
    }

    #[test]
    fn clearing_deletes_what_is_inside_and_follows_no_links() {
        let parent = tempfile::tempdir().unwrap();
        let outside = parent.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "").unwrap();

        let data = DataDirectory::open(&parent.path().join("data")).unwrap();
        fs::create_dir_all(data.path().join("postgres/base")).unwrap();
        std::os::unix::fs::symlink(&outside, data.path().join("link")).unwrap();

        data.clear().unwrap();

        assert!(outside.join("kept").exists());
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1);
    }
}
