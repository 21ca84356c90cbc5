//! A running Postgres: started, watched, restarted, and ended without harm to its data.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::account;
use super::binaries::Binaries;
use super::cluster::Cluster;

/// Crash recovery comes before readiness and may take a while.
const START: Duration = Duration::from_secs(60);
const FAST_SHUTDOWN: Duration = Duration::from_secs(5);
const IMMEDIATE_SHUTDOWN: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);
/// Between restarts, doubled after each one that follows soon.
const BACK_OFF: Duration = Duration::from_millis(100);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(5);

/// How the server is started, the first time and again.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) cluster: Cluster,
    pub(super) binaries: Binaries,
    pub(super) port: u16,
    pub(super) log: PathBuf,
}

impl Server {
    /// Starts a process and waits until it takes connections.
    pub(super) async fn start(&self) -> anyhow::Result<Child> {
        let mut child = self.spawn()?;
        let deadline = Instant::now() + START;
        while !self.is_ready(&child) {
            if child.try_wait()?.is_some() {
                anyhow::bail!("PostgreSQL did not start: {}", self.last_words());
            }
            anyhow::ensure!(Instant::now() < deadline, "PostgreSQL was not ready within {START:?}");
            sleep(POLL).await;
        }
        Ok(child)
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("cannot write {}", self.log.display()))?;
        let mut command =
            account::command(&self.binaries.directory.join("postgres"), self.cluster.account.as_ref());
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
            "shared_buffers=256MB",
            "jit=off",
            "timezone=UTC",
            "log_timezone=UTC",
            // Statements do not belong in a log.
            "log_min_error_statement=panic",
        ] {
            command.args(["-c", setting]);
        }
        command.arg("-D").arg(&self.cluster.data).args(["-p", &self.port.to_string()]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn().context("cannot run postgres")
    }

    /// Whether the process has noted that it takes connections.
    fn is_ready(&self, child: &Child) -> bool {
        let noted = fs::read_to_string(pid_file(&self.cluster.data)).unwrap_or_default();
        let mut lines = noted.lines();
        lines.next().and_then(|pid| pid.parse().ok()) == child.id()
            && lines.next_back().is_some_and(|status| status.trim() == "ready")
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let fatal = log.lines().rev().find(|line| line.contains("FATAL") || line.contains("PANIC"));
        fatal.or_else(|| log.lines().next_back()).unwrap_or("no message").to_owned()
    }

    /// Keeps Postgres running until `stop`, then ends it; `hurry` leaves the checkpoint to the next start.
    pub(super) async fn watch(self, mut child: Child, stop: CancellationToken, hurry: CancellationToken) {
        let mut back_off = BACK_OFF;
        loop {
            let started = Instant::now();
            tokio::select! {
                _ = child.wait() => {}
                () = stop.cancelled() => return end(&mut child, &hurry).await,
            }
            if started.elapsed() > LONGEST_BACK_OFF * 2 {
                back_off = BACK_OFF;
            }
            tokio::select! {
                again = self.start_again(&mut back_off) => child = again,
                () = stop.cancelled() => return,
            }
        }
    }

    async fn start_again(&self, back_off: &mut Duration) -> Child {
        tracing::warn!("PostgreSQL ended unexpectedly, starting it again");
        loop {
            sleep(*back_off).await;
            *back_off = (*back_off * 2).min(LONGEST_BACK_OFF);
            if let Some(child) = self.try_to_start().await {
                return child;
            }
        }
    }

    async fn try_to_start(&self) -> Option<Child> {
        self.start().await.inspect_err(|error| tracing::error!("{error:#}")).ok()
    }
}

/// Ends a server of this process: connections are cut and the data brought to rest, or left to recovery when in a hurry.
async fn end(child: &mut Child, hurry: &CancellationToken) {
    let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) else { return };
    let _ended = kill(Pid::from_raw(pid), Signal::SIGINT);
    tokio::select! {
        ended = timeout(FAST_SHUTDOWN, child.wait()) => if ended.is_ok() { return },
        () = hurry.cancelled() => {}
    }
    let _ended = kill(Pid::from_raw(pid), Signal::SIGQUIT);
    if timeout(IMMEDIATE_SHUTDOWN, child.wait()).await.is_err() {
        let _ended = child.kill().await;
    }
}

/// Ends the server that a killed emulator left running on `data`.
pub(super) async fn end_leftover(data: &Path) -> anyhow::Result<()> {
    let Some(pid) = running_on(data) else { return Ok(()) };
    tracing::info!(%pid, "ending the PostgreSQL that an earlier emulator left running");
    for (signal, patience) in [
        (Signal::SIGINT, FAST_SHUTDOWN),
        (Signal::SIGQUIT, IMMEDIATE_SHUTDOWN),
        (Signal::SIGKILL, IMMEDIATE_SHUTDOWN),
    ] {
        let _ended = kill(pid, signal);
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if running_on(data).is_none() {
                return Ok(());
            }
            sleep(POLL).await;
        }
    }
    anyhow::bail!("process {pid}, a PostgreSQL of an earlier emulator, does not end")
}

/// The postmaster of `data`, if the process that its file names still is one.
fn running_on(data: &Path) -> Option<Pid> {
    let noted = fs::read_to_string(pid_file(data)).ok()?;
    let pid: i32 = noted.lines().next()?.trim().parse().ok()?;
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut arguments = command_line.split(|byte| *byte == 0);
    arguments.any(|argument| argument == data.as_os_str().as_encoded_bytes()).then(|| Pid::from_raw(pid))
}

fn pid_file(data: &Path) -> PathBuf {
    data.join("postmaster.pid")
}

/// The `preferred` port if it is free on loopback, else one that is.
pub(super) fn free_port(preferred: Option<u16>) -> std::io::Result<u16> {
    let bind = |port| TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr());
    let address = match preferred {
        Some(port) => bind(port).or_else(|_| bind(0)),
        None => bind(0),
    };
    Ok(address?.port())
}
