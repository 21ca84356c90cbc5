//! A database cluster on disk: created once, and kept.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::Context as _;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use super::account::{self, Account};
use super::binaries::Binaries;
use crate::Unusable;
use crate::database_url::{USUAL_NAME, url_at};
use crate::private_file;
use crate::settings::PostgresIdentity;

/// The role that may connect, its password, the database and the port.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) role: String,
    password: String,
    pub(super) database: String,
    pub(super) port: Option<u16>,
}

impl Identity {
    /// The identity that the variables ask for, with a generated password if none is set.
    fn new(wanted: &PostgresIdentity) -> Self {
        let or =
            |value: &Option<String>, usual: &str| value.clone().unwrap_or_else(|| usual.to_owned());

        Self {
            role: or(&wanted.role, USUAL_NAME),
            password: or(&wanted.password, &Uuid::new_v4().simple().to_string()),
            database: or(&wanted.database, USUAL_NAME),
            port: None,
        }
    }

    /// The variable whose value differs from that of the existing cluster, if any.
    fn conflict(&self, wanted: &PostgresIdentity) -> Option<&'static str> {
        let differs = |value: &Option<String>, existing: &str| {
            value.as_ref().is_some_and(|value| value != existing)
        };

        [
            ("POSTGRES_USER", differs(&wanted.role, &self.role)),
            (
                "POSTGRES_PASSWORD",
                differs(&wanted.password, &self.password),
            ),
            ("POSTGRES_DB", differs(&wanted.database, &self.database)),
        ]
        .into_iter()
        .find_map(|(variable, differs)| differs.then_some(variable))
    }

    /// The URL to connect to, password included.
    pub(super) fn url(&self, port: u16) -> anyhow::Result<Url> {
        url_at(
            &format!("127.0.0.1:{port}"),
            &self.role,
            Some(&self.password),
            &self.database,
        )
        .context("not a URL with a user")
    }

    fn load(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Writes it completely or not at all, readable by this user only.
    fn save(&self, path: &Path) -> anyhow::Result<()> {
        let new = path.with_extension("new");
        write_secret(&new, &serde_json::to_string(self)?)
            .and_then(|()| fs::rename(&new, path))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// A cluster's place on disk.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub(super) data: PathBuf,
    home: PathBuf,
    identity: PathBuf,
    pub(super) account: Option<Account>,
}

impl Cluster {
    /// The cluster that belongs to `data_directory`, whether or not it exists yet.
    pub(super) fn of(data_directory: &Path, account: Option<Account>) -> Self {
        let home = account::home(data_directory, account.as_ref());
        Self {
            data: home.join("data"),
            home,
            identity: data_directory.join("postgres.json"),
            account,
        }
    }

    /// The major version that created it; `None` if it does not exist yet.
    pub(super) fn major(&self) -> Option<u32> {
        fs::read_to_string(self.data.join("PG_VERSION"))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// Deletes the cluster. Succeeds if it does not exist.
    pub(super) fn delete(&self) -> std::io::Result<()> {
        match fs::remove_dir_all(&self.home) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Creates the cluster if it does not exist, and returns who may connect.
    pub(super) async fn ensure(
        &self,
        binaries: &Binaries,
        wanted: &PostgresIdentity,
    ) -> anyhow::Result<Identity> {
        if self.major().is_some() {
            let identity = Identity::load(&self.identity)?;

            if let Some(variable) = identity.conflict(wanted) {
                let problem = format!(
                    "{variable} differs from the value that the data directory was created with; restore or unset it, or delete the \
                     data with --fresh"
                );
                return Err(Unusable(problem).into());
            }
            return Ok(identity);
        }

        let identity = Identity::new(wanted);
        // Saved before the cluster exists: a cluster whose password is lost could not be used.
        identity.save(&self.identity)?;
        self.make(binaries, &identity).await?;

        Ok(identity)
    }

    /// Who may connect, if the cluster exists.
    pub(super) fn identity(&self) -> Option<Identity> {
        self.major()?;
        Identity::load(&self.identity).ok()
    }

    /// Saves the port, so that the URL stays the same from start to start.
    pub(super) fn remember_port(&self, identity: &Identity, port: u16) -> anyhow::Result<()> {
        Identity {
            port: Some(port),
            ..identity.clone()
        }
        .save(&self.identity)
    }

    /// Creates the cluster beside its place, and moves it there when it is complete.
    async fn make(&self, binaries: &Binaries, identity: &Identity) -> anyhow::Result<()> {
        let account = self.account.as_ref();
        account::make_private(&self.home, account)?;

        let new = self.home.join("new");
        if new.exists() {
            fs::remove_dir_all(&new)?;
        }

        let password = self.home.join("initdb-password");
        write_secret(&password, &identity.password)?;
        account::give(&password, account)?;

        let initdb = account::command(&binaries.directory.join("initdb"), account)
            .args([
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--username",
            ])
            .arg(&identity.role)
            .arg("--pwfile")
            .arg(&password)
            .arg("--pgdata")
            .arg(&new)
            .stdin(Stdio::null())
            .output()
            .await;
        fs::remove_file(&password)?;

        succeeded("initdb", &initdb.context("cannot run initdb")?)?;

        self.create_database(binaries, &new, &identity.database)
            .await?;
        // Renamed last: the cluster counts as existing from here on.
        fs::rename(&new, &self.data)?;

        Ok(())
    }

    /// Creates the database in single-user mode, because the fetched PostgreSQL has no client.
    async fn create_database(
        &self,
        binaries: &Binaries,
        data: &Path,
        database: &str,
    ) -> anyhow::Result<()> {
        if database == "postgres" {
            return Ok(());
        }

        let mut postgres =
            account::command(&binaries.directory.join("postgres"), self.account.as_ref())
                .args(["--single", "-c", "exit_on_error=on", "-D"])
                .arg(data)
                .arg("postgres")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .context("cannot run postgres")?;

        let mut stdin = postgres.stdin.take().context("no standard input")?;
        let quoted = database.replace('"', "\"\"");
        stdin
            .write_all(format!("create database \"{quoted}\"\n").as_bytes())
            .await?;

        // Single-user mode ends with its standard input.
        drop(stdin);
        succeeded("postgres", &postgres.wait_with_output().await?)
    }
}

fn succeeded(program: &str, output: &Output) -> anyhow::Result<()> {
    let said = String::from_utf8_lossy(&output.stderr);

    let last = said
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("no message");

    anyhow::ensure!(output.status.success(), "{program} failed: {last}");
    Ok(())
}

fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = private_file::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_survives_any_password() {
        let wanted = PostgresIdentity {
            password: Some("p@ss/w:rd %".to_owned()),
            ..PostgresIdentity::default()
        };

        let url = Identity::new(&wanted).url(5432).unwrap();
        assert_eq!(
            url.as_str(),
            "postgres://market:p%40ss%2Fw%3Ard%20%25@127.0.0.1:5432/market"
        );
    }

    #[test]
    fn a_variable_that_contradicts_the_existing_data_is_named() {
        let identity = Identity::new(&PostgresIdentity::default());

        let wanted = PostgresIdentity {
            database: Some("other".to_owned()),
            ..PostgresIdentity::default()
        };

        assert_eq!(identity.conflict(&wanted), Some("POSTGRES_DB"));
        assert_eq!(identity.conflict(&PostgresIdentity::default()), None);
    }
}
