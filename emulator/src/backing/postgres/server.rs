//! A Postgres process: how it is started, found ready, and ended without harm to its data.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::Signal;
use tokio::process::Child;
use tokio::time::{Instant, sleep};

use super::account;
use super::binaries::Binaries;
use super::cluster::Cluster;
use crate::backing::service::{POLL, Service};

/// How long a start may take. Crash recovery comes before readiness.
const START: Duration = Duration::from_secs(60);

/// How the server is started, first and after an unexpected end.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) cluster: Cluster,
    pub(super) binaries: Binaries,
    pub(super) port: u16,
    pub(super) log: PathBuf,
}

impl Service for Server {
    const NAME: &'static str = "PostgreSQL";
    /// SIGINT cuts connections and writes a checkpoint. SIGQUIT leaves the data to recovery at the
    /// next start.
    const ENDING: &'static [(Signal, Duration)] = &[
        (Signal::SIGINT, Duration::from_secs(5)),
        (Signal::SIGQUIT, Duration::from_secs(2)),
    ];

    async fn start(&self) -> anyhow::Result<Child> {
        let mut child = self.spawn()?;
        let deadline = Instant::now() + START;

        while !self.is_ready(&child) {
            if child.try_wait()?.is_some() {
                anyhow::bail!("PostgreSQL did not start: {}", self.last_words());
            }

            anyhow::ensure!(
                Instant::now() < deadline,
                "PostgreSQL was not ready within {START:?}"
            );

            sleep(POLL).await;
        }

        Ok(child)
    }
}

impl Server {
    fn spawn(&self) -> anyhow::Result<Child> {
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("cannot write {}", self.log.display()))?;

        let mut command = account::command(
            &self.binaries.directory.join("postgres"),
            self.cluster.account.as_ref(),
        );
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
            "shared_buffers=256MB",
            "jit=off",
            "timezone=UTC",
            "log_timezone=UTC",
            // Statements must not appear in the log.
            "log_min_error_statement=panic",
        ] {
            command.args(["-c", setting]);
        }

        command
            .arg("-D")
            .arg(&self.cluster.data)
            .args(["-p", &self.port.to_string()]);

        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);

        command.spawn().context("cannot run postgres")
    }

    /// Whether the process has written to its pid file that it accepts connections.
    fn is_ready(&self, child: &Child) -> bool {
        let noted = fs::read_to_string(pid_file(&self.cluster.data)).unwrap_or_default();
        let mut lines = noted.lines();

        lines.next().and_then(|pid| pid.parse().ok()) == child.id()
            && lines
                .next_back()
                .is_some_and(|status| status.trim() == "ready")
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();

        let fatal = log
            .lines()
            .rev()
            .find(|line| line.contains("FATAL") || line.contains("PANIC"));

        fatal
            .or_else(|| log.lines().next_back())
            .unwrap_or("no message")
            .to_owned()
    }
}

pub(super) fn pid_file(data: &Path) -> PathBuf {
    data.join("postmaster.pid")
}

/// The `preferred` port if it is free on loopback, otherwise any free port.
pub(super) fn free_port(preferred: Option<u16>) -> std::io::Result<u16> {
    let bind =
        |port| TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr());

    let address = match preferred {
        Some(port) => bind(port).or_else(|_| bind(0)),
        None => bind(0),
    };

    Ok(address?.port())
}
