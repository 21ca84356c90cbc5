//! Schedules on disk: a directory per group and a file per schedule. Each file is replaced as a
//! whole.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::de::DeserializeOwned;

use super::book::{Change, Group};
use super::schedule::{Key, Schedule};

/// The file of a group itself. No schedule's file begins with a dot, so the names cannot collide.
const GROUP_FILE: &str = ".group.json";

/// The directory that holds one directory per group.
#[derive(Debug)]
pub(super) struct Store {
    root: PathBuf,
}

impl Store {
    pub(super) fn open(root: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;

        let is_removed = |path: &&PathBuf| path.extension().is_some_and(|end| end == "removed");
        for removed in entries(&root)?
            .iter()
            .filter(|path| is_hidden(path))
            .filter(is_removed)
        {
            discard(removed);
        }
        Ok(Self { root })
    }

    /// Returns all groups with their schedules. A file that cannot be read is logged and left as it
    /// is.
    pub(super) fn load(&self) -> anyhow::Result<Vec<(Group, Vec<Schedule>)>> {
        let mut groups = Vec::new();

        for directory in entries(&self.root)? {
            if is_hidden(&directory) {
                continue;
            }
            let Some(group) = read::<Group>(&directory.join(GROUP_FILE)) else {
                continue;
            };

            let schedules = entries(&directory)?
                .iter()
                .filter(|path| {
                    path.extension()
                        .is_some_and(|extension| extension == "json")
                })
                .filter(|path| !is_hidden(path))
                .filter_map(|path| read(path))
                .collect();
            groups.push((group, schedules));
        }

        Ok(groups)
    }

    /// Makes a change on disk. After an error, it may be there or not.
    pub(super) fn make(&self, change: &Change) -> anyhow::Result<()> {
        match change {
            Change::Put(schedule, _) => self.write(schedule),
            Change::Delete(key, _) => Ok(remove(&self.path(key))?),
            Change::PutGroup(group) => self.write_group(group),
            Change::DeleteGroup(name) => Ok(self.remove_group(name)?),
        }
    }

    pub(super) fn write_group(&self, group: &Group) -> anyhow::Result<()> {
        let directory = self.root.join(file_name(&group.name));
        fs::create_dir_all(&directory)?;
        sync_directory(&self.root)?;

        replace(
            &directory.join(GROUP_FILE),
            &serde_json::to_vec_pretty(group)?,
        )?;
        Ok(())
    }

    /// Removes a group with its schedules, or nothing of it.
    fn remove_group(&self, name: &str) -> io::Result<()> {
        let directory = self.root.join(file_name(name));
        let removed = self.root.join(format!(".{name}.removed"));
        discard(&removed);

        // One step removes everything. Removing file by file could fail in the middle.
        match fs::rename(&directory, &removed) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed?,
        }

        sync_directory(&self.root).inspect_err(|_| {
            // The group stays, for the next request to delete it.
            let _undone = fs::rename(&removed, &directory);
        })?;
        discard(&removed);
        Ok(())
    }

    fn write(&self, schedule: &Schedule) -> anyhow::Result<()> {
        replace(
            &self.path(&schedule.key),
            &serde_json::to_vec_pretty(schedule)?,
        )?;
        Ok(())
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.root
            .join(file_name(&key.group))
            .join(format!("{}.json", file_name(&key.name)))
    }
}

/// Returns a name as part of a path. The names `.` and `..` are legal, and no file may be hidden.
fn file_name(name: &str) -> String {
    name.strip_prefix('.')
        .map_or_else(|| name.to_owned(), |rest| format!("%2E{rest}"))
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Deletes the directory of a removed group. One that cannot be deleted is deleted at the next
/// start.
fn discard(removed: &Path) {
    match fs::remove_dir_all(removed) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let path = removed.display();
            tracing::warn!(%path, %error, "cannot delete {path}, a removed schedule group");
        }
        _ => {}
    }
}

fn entries(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed =
        fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    Ok(listed
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?)
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let parsed = fs::read(path)
        .map_err(anyhow::Error::from)
        .and_then(|text| Ok(serde_json::from_slice(&text)?));
    parsed
        .inspect_err(|error| {
            let path = path.display();
            tracing::warn!(%path, %error, "cannot read {path}, the file of a schedule");
        })
        .ok()
}

/// Writes a file so that a crash leaves the old or the new content, never a part of it.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path
        .file_name()
        .ok_or(io::ErrorKind::InvalidInput)?
        .to_string_lossy();
    let unfinished = directory.join(format!(".{name}.unfinished"));

    let mut file = File::create(&unfinished)?;
    file.write_all(content)?;
    // The content has to be durable before the name refers to it.
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    sync_directory(directory)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => path.parent().map_or(Ok(()), sync_directory),
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
