//! The user that runs Postgres. It refuses to run as root, so root runs it as a user with fewer
//! rights.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::unistd::{Gid, Uid, User, chown};
use tokio::process::Command;
use uuid::Uuid;

/// A user other than the one of this process.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) name: String,
    uid: Uid,
    gid: Gid,
}

impl Account {
    /// The user to switch to; `None` unless this process runs as root.
    pub(super) fn needed(data_directory: &Path) -> anyhow::Result<Option<Self>> {
        if !Uid::effective().is_root() {
            return Ok(None);
        }

        // Data that a normal user's emulator made remain that user's.
        let owner = fs::metadata(inside(data_directory))
            .ok()
            .map(|home| Uid::from_raw(home.uid()));
        if let Some(owner) = owner.filter(|owner| !owner.is_root())
            && let Some(user) = User::from_uid(owner)?
        {
            return Ok(Some(user.into()));
        }

        for name in ["postgres", "nobody"] {
            if let Some(user) = User::from_name(name)? {
                return Ok(Some(user.into()));
            }
        }

        anyhow::bail!(
            "PostgreSQL does not run as root, and this machine has neither a user named postgres nor one named nobody; \
             run the emulator as a normal user, or set DATABASE_URL"
        )
    }

    /// Whether this user may enter every directory above `path`, and `path` itself.
    pub(super) fn can_reach(&self, path: &Path) -> bool {
        path.ancestors()
            .filter_map(|directory| fs::metadata(directory).ok())
            .all(|directory| {
                let pass = if directory.uid() == self.uid.as_raw() {
                    0o100
                } else if directory.gid() == self.gid.as_raw() {
                    0o010
                } else {
                    0o001
                };
                directory.mode() & pass != 0
            })
    }
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self {
            name: user.name,
            uid: user.uid,
            gid: user.gid,
        }
    }
}

/// The directory of Postgres' data: inside the data directory if the user that runs Postgres can
/// reach it, otherwise below `/var/lib`.
pub(super) fn home(data_directory: &Path, account: Option<&Account>) -> PathBuf {
    match account {
        Some(account) if !account.can_reach(data_directory) => {
            let name = Uuid::new_v5(
                &Uuid::NAMESPACE_URL,
                data_directory.as_os_str().as_encoded_bytes(),
            );
            Path::new("/var/lib").join(format!("market-data-{}", name.simple()))
        }
        _ => inside(data_directory),
    }
}

fn inside(data_directory: &Path) -> PathBuf {
    data_directory.join("postgres")
}

/// Creates a directory that only the user that runs Postgres may enter.
pub(super) fn make_private(directory: &Path, account: Option<&Account>) -> anyhow::Result<()> {
    let make = || -> std::io::Result<()> {
        fs::create_dir_all(directory)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
        give(directory, account)
    };

    make().with_context(|| format!("cannot make {}", directory.display()))
}

/// Makes the user that runs Postgres the owner of `path`.
pub(super) fn give(path: &Path, account: Option<&Account>) -> std::io::Result<()> {
    match account {
        Some(account) => Ok(chown(path, Some(account.uid), Some(account.gid))?),
        None => Ok(()),
    }
}

/// A command that runs as that user, in a process group of its own, with almost no environment.
pub(super) fn command(program: &Path, account: Option<&Account>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir("/")
        .process_group(0)
        .kill_on_drop(true);

    if let Some(account) = account {
        command.uid(account.uid.as_raw()).gid(account.gid.as_raw());
    }

    command
}

#[cfg(test)]
mod tests;
