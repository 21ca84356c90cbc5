//! The emulator's own Postgres: on loopback, with a password. Its data survive restarts and `kill
//! -9`.

mod account;
mod binaries;
mod cluster;
mod server;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use reqwest::Url;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::service::{self, Running, Service as _};
use crate::announcements::Announcements;
use crate::cli::PostgresSource;
use crate::settings::Settings;
use account::Account;
use cluster::{Cluster, Identity};
use server::Server;

/// How to start Postgres.
#[derive(Debug)]
pub(crate) struct PostgresSettings<'a> {
    pub(crate) data_directory: &'a Path,
    pub(crate) source: Option<PostgresSource>,
    /// The port it must have; `None` means that of the last start, or a free one.
    pub(crate) port: Option<u16>,
    pub(crate) environment: &'a Settings,
    pub(crate) announcements: Announcements,
}

/// A Postgres that is kept running until it is stopped.
#[derive(Debug)]
pub(crate) struct Postgres {
    url: Url,
    version: String,
    data: PathBuf,
    running: Running,
}

impl Postgres {
    /// Starts Postgres. Creates its cluster first if there is none. `hurry` shortens its stop.
    pub(crate) async fn start(
        settings: PostgresSettings<'_>,
        hurry: CancellationToken,
    ) -> anyhow::Result<Self> {
        let (server, identity) = prepare(settings).await?;
        let url = identity.url(server.port)?;
        let (version, data) = (server.binaries.version.clone(), server.cluster.data.clone());

        let child = server.start().await?;
        // Only a port that worked is remembered.
        server.cluster.remember_port(&identity, server.port)?;

        Ok(Self {
            url,
            version,
            data,
            running: Running::keep(server, child, hurry),
        })
    }

    /// The URL to connect to, password included.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The version and the data's directory, for people.
    pub(crate) fn describe(&self) -> String {
        format!(
            "PostgreSQL {}, data in {}",
            self.version,
            self.data.display()
        )
    }

    /// Ends Postgres by `deadline`, cutting connections, and returns when it has ended.
    pub(crate) async fn stop(self, deadline: Instant) {
        self.running.stop(deadline).await;
    }
}

/// Finds the programs, the cluster and a port, and ends a Postgres that still runs on the cluster.
async fn prepare(settings: PostgresSettings<'_>) -> anyhow::Result<(Server, Identity)> {
    let PostgresSettings {
        data_directory,
        source,
        port,
        environment,
        announcements,
    } = settings;

    let account = Account::needed(data_directory)?;
    let cluster = Cluster::of(data_directory, account);
    let account = cluster.account.as_ref();

    if let Some(account) = account {
        announcements.notice(&format!(
            "PostgreSQL refuses to run as root: running it as {}, with its data in {}",
            account.name,
            cluster.data.display()
        ));
    }

    let binaries =
        binaries::choose(source, cluster.major(), account, environment, announcements).await?;

    // Before the port is chosen: a leftover still listens on that of the last start.
    end_leftover(&cluster.data).await?;

    let identity = cluster.ensure(&binaries, &environment.postgres).await?;

    let port = match port {
        Some(port) => port,
        None => server::free_port(identity.port)?,
    };

    let log = data_directory.join("postgres.log");
    // The log starts empty, because the reason of a failed start is looked up in it.
    let _first_start = std::fs::remove_file(&log);

    Ok((
        Server {
            cluster,
            binaries,
            port,
            log,
        },
        identity,
    ))
}

/// The URL of the Postgres that an emulator runs in `data_directory`, password included; `None` if
/// there is none, or it does not take connections.
pub(crate) async fn running(data_directory: &Path) -> Option<Url> {
    let account = Account::needed(data_directory).ok()?;
    let identity = Cluster::of(data_directory, account).identity()?;
    let port = identity.port?;

    TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    identity.url(port).ok()
}

async fn end_leftover(data: &Path) -> anyhow::Result<()> {
    service::end_leftover::<Server>(&server::pid_file(data), data).await
}

/// Deletes the data of the Postgres that belongs to `data_directory`. Ends one that still runs on
/// them first.
pub(crate) async fn delete(data_directory: &Path) -> anyhow::Result<()> {
    let cluster = Cluster::of(data_directory, Account::needed(data_directory)?);
    end_leftover(&cluster.data).await?;

    Ok(cluster.delete()?)
}

/// `url`, with its password only if `with_password`.
pub(crate) fn shown(url: &Url, with_password: bool) -> String {
    if with_password {
        url.as_str().to_owned()
    } else {
        masked(url)
    }
}

/// `url` without its password, for people.
pub(crate) fn masked(url: &Url) -> String {
    let user = if url.username().is_empty() {
        String::new()
    } else {
        format!("{}@", url.username())
    };

    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();

    format!(
        "{}://{user}{}{port}{}",
        url.scheme(),
        url.host_str().unwrap_or_default(),
        url.path()
    )
}
