//! A real Apache Kafka, run by the project's own script. Its log survives restarts and `kill -9`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::Unusable;
use crate::backing::service::{self, Running, Service};

/// The script's path in the project.
const SCRIPT: &str = "tools/kafka/start";
/// How long a start may take: the first one fetches 43 MB.
const START: Duration = Duration::from_secs(600);

/// A Kafka that is kept running until it is stopped.
#[derive(Debug)]
pub(crate) struct Kafka {
    bootstrap_servers: String,
    data: PathBuf,
    running: Running,
}

impl Kafka {
    /// Starts Kafka with its data in `data_directory`. `hurry` shortens its stop.
    pub(super) async fn start(
        project: &Path,
        data_directory: &Path,
        hurry: CancellationToken,
    ) -> anyhow::Result<Self> {
        let script = project.join(SCRIPT);

        if !script.is_file() {
            let problem = format!(
                "--broker kafka needs {SCRIPT} of the project, which is not in {}; \
                 start the emulator inside the project, or set KAFKA_BOOTSTRAP_SERVERS",
                project.display()
            );
            return Err(Unusable(problem).into());
        }

        // A leftover holds the lock of the data.
        end_leftover(data_directory).await?;

        let data = data(data_directory);

        let server = Server {
            script,
            data: data.clone(),
            address: OnceLock::new(),
            stdin: Mutex::default(),
        };

        let child = server.start().await?;
        let bootstrap_servers = server.address.get().cloned().unwrap_or_default();

        Ok(Self {
            bootstrap_servers,
            data,
            running: Running::keep(server, child, hurry),
        })
    }

    pub(super) fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    pub(super) fn describe(&self) -> String {
        format!("Apache Kafka, data in {}", self.data.display())
    }

    pub(super) async fn stop(self, deadline: Instant) {
        self.running.stop(deadline).await;
    }
}

/// Ends the Kafka that a killed emulator left running on `data_directory`.
pub(crate) async fn end_leftover(data_directory: &Path) -> anyhow::Result<()> {
    let data = data(data_directory);
    service::end_leftover::<Server>(&data.join("pid"), &data).await
}

fn data(data_directory: &Path) -> PathBuf {
    data_directory.join("kafka")
}

/// How the broker is started, first and after an unexpected end.
#[derive(Debug)]
struct Server {
    script: PathBuf,
    data: PathBuf,
    /// The address of the first start. Later starts must use its port.
    address: OnceLock<String>,
    /// Standard input of the latest process. It closes when this process ends, even by a kill, and
    /// then Kafka ends.
    stdin: Mutex<Option<ChildStdin>>,
}

impl Service for Server {
    const NAME: &'static str = "Kafka";
    const ENDING: &'static [(Signal, Duration)] = &[
        (Signal::SIGTERM, Duration::from_secs(3)),
        (Signal::SIGKILL, Duration::from_secs(2)),
    ];

    async fn start(&self) -> anyhow::Result<Child> {
        let known = self
            .address
            .get()
            .and_then(|address| address.rsplit_once(':'));
        let port = known.map_or("0", |(_, port)| port);

        let mut child = Command::new(&self.script)
            .args(["--until-stdin-closes", "--port", port, "--data-dir"])
            .arg(&self.data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", self.script.display()))?;

        // Taken out, because waiting for the child would close it.
        *self.stdin.lock().unwrap_or_else(PoisonError::into_inner) = child.stdin.take();

        let stdout = child
            .stdout
            .take()
            .context("Kafka has no standard output")?;
        let mut lines = BufReader::new(stdout).lines();

        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(address) = line.strip_prefix("ready ") {
                    return Ok(address.to_owned());
                }
            }
            anyhow::bail!("Kafka did not start; see its messages above")
        };

        let address = timeout(START, ready)
            .await
            .context("Kafka was not ready in time")??;
        let _known_already = self.address.set(address);

        Ok(child)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn outside_of_the_project_it_is_told_what_is_missing() {
        let elsewhere = tempfile::tempdir().unwrap();
        let outcome =
            Kafka::start(elsewhere.path(), elsewhere.path(), CancellationToken::new()).await;

        let error = outcome.unwrap_err();
        assert!(error.is::<Unusable>());
        assert!(error.to_string().contains(SCRIPT), "{error}");
    }
}
