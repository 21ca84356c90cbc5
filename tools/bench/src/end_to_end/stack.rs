//! The emulator and its functions, on the benchmark's Postgres and Kafka.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tempfile::TempDir;

use super::kafka::Broker;
use crate::binaries::workspace;
use crate::cpu;
use crate::postgres::Server;

const AVERAGER: &str = "averager";

/// A stack, with what it takes to start it again.
#[derive(Debug)]
pub(super) struct Stack {
    binaries: PathBuf,
    database_url: String,
    bootstrap_servers: String,
    topic: String,
    /// The emulator's log filter, unless it is the usual one.
    log: Option<String>,
    data: TempDir,
    emulator: Option<(Child, Option<ChildStdin>)>,
}

impl Stack {
    /// A stack that will read `topic`.
    pub(super) fn new(
        binaries: &Path,
        server: &Server,
        broker: &Broker,
        topic: &str,
    ) -> anyhow::Result<Self> {
        let data = tempfile::Builder::new()
            .prefix("market-data-bench-stack-")
            .tempdir()?;

        Ok(Self {
            binaries: binaries.to_owned(),
            database_url: server.url.clone(),
            bootstrap_servers: broker.bootstrap_servers.clone(),
            topic: topic.to_owned(),
            log: None,
            data,
            emulator: None,
        })
    }

    /// Sets the emulator's log filter; with `None` it logs as usual.
    pub(super) fn logging(self, filter: Option<&str>) -> Self {
        Self {
            log: filter.map(str::to_owned),
            ..self
        }
    }

    /// Starts the emulator, and waits until it is ready.
    pub(super) async fn start(mut self) -> anyhow::Result<Self> {
        self.spawn()?;

        tokio::task::spawn_blocking(move || {
            self.wait_until_ready()?;
            Ok(self)
        })
        .await?
    }

    /// Starts the emulator, without waiting for it.
    pub(super) fn spawn(&mut self) -> anyhow::Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.data.path().join("log"))?;

        let mut child = Command::new(self.binaries.join("emulator"))
            .args([
                "--output",
                "json",
                "--port",
                "0",
                "--until-stdin-closes",
                "--bin-dir",
            ])
            .arg(&self.binaries)
            .arg("--data-dir")
            .arg(self.data.path().join("data"))
            .current_dir(workspace())
            .env("DATABASE_URL", &self.database_url)
            .env("KAFKA_BOOTSTRAP_SERVERS", &self.bootstrap_servers)
            .env("KAFKA_PRICE_TOPIC", &self.topic)
            .env("KAFKA_DEAD_LETTER_TOPIC", format!("{}.dlt", self.topic))
            .env("DEFAULT_PROVIDER", "replay")
            .envs(self.log.as_ref().map(|filter| ("RUST_LOG", filter)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("starting the emulator")?;

        let stdin = child.stdin.take();
        self.emulator = Some((child, stdin));
        Ok(())
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let (child, _) = self.emulator.as_mut().context("no emulator runs")?;
        let mut lines = BufReader::new(child.stdout.take().context("its standard output")?).lines();

        for line in lines.by_ref() {
            let event: Value = serde_json::from_str(&line?).unwrap_or_default();
            if event["event"] == "ready" {
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(());
            }
        }

        let log = std::fs::read_to_string(self.data.path().join("log")).unwrap_or_default();
        anyhow::bail!(
            "the emulator ended before it was ready: {}",
            log.lines().next_back().unwrap_or("no word")
        )
    }

    /// The pid of the emulator.
    pub(super) fn emulator(&self) -> u32 {
        self.emulator.as_ref().map_or(0, |(child, _)| child.id())
    }

    /// The pids of the averager's instances.
    pub(super) fn averagers(&self) -> Vec<u32> {
        cpu::children_named(self.emulator(), AVERAGER)
    }

    /// CPU time of the averagers, and of the rest of the stack.
    pub(super) fn cpu(&self) -> (Duration, Duration) {
        let averagers = cpu::of_children_named(self.emulator(), AVERAGER);
        let averagers = averagers.values().sum();
        (
            averagers,
            cpu::of_tree(self.emulator()).saturating_sub(averagers),
        )
    }

    /// Ends the emulator as `kill -9` does.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        let (child, _) = self.emulator.as_mut().context("no emulator runs")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Stops the stack by closing the emulator's standard input.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.stop_and_read_log().await.map(drop)
    }

    /// The same, and returns what the emulator and its functions logged.
    pub(super) async fn stop_and_read_log(mut self) -> anyhow::Result<String> {
        if let Some((mut child, stdin)) = self.emulator.take() {
            drop(stdin);
            tokio::task::spawn_blocking(move || child.wait()).await??;
        }

        Ok(std::fs::read_to_string(self.data.path().join("log"))?)
    }
}
