//! The emulator and its functions on the benchmark's Postgres, with the embedded broker.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tempfile::TempDir;

use super::provider::LocalProvider;
use crate::binaries::workspace;
use crate::cpu;
use crate::postgres::Server;

const POLLER: &str = "poller";

/// A running stack.
#[derive(Debug)]
pub(super) struct Stack {
    emulator: Child,
    stdin: Option<ChildStdin>,
    _data: TempDir,
}

impl Stack {
    /// Starts a stack whose pollers ask `provider` within `limits`, and waits until it is ready.
    pub(super) async fn start(
        binaries: &Path,
        server: &Server,
        provider: &LocalProvider,
        limits: &str,
    ) -> anyhow::Result<Self> {
        let data = tempfile::Builder::new()
            .prefix("market-data-bench-polling-")
            .tempdir()?;

        let mut emulator = Command::new(binaries.join("emulator"))
            .args(["--output", "json", "--port", "0", "--until-stdin-closes"])
            .arg("--bin-dir")
            .arg(binaries)
            .arg("--data-dir")
            .arg(data.path().join("data"))
            .current_dir(workspace())
            .env("DATABASE_URL", &server.url)
            .envs(["TIINGO_API_KEY", "FINNHUB_API_KEY"].map(|name| (name, "none")))
            .envs(["TIINGO_BASE_URL", "FINNHUB_BASE_URL"].map(|name| (name, &provider.url)))
            .envs(["TIINGO_LIMITS", "FINNHUB_LIMITS"].map(|name| (name, limits)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(data.path().join("log"))?)
            .spawn()
            .context("starting the emulator")?;

        let stdout = emulator.stdout.take().context("its standard output")?;
        let stack = Self {
            stdin: emulator.stdin.take(),
            emulator,
            _data: data,
        };
        tokio::task::spawn_blocking(move || wait_until_ready(BufReader::new(stdout))).await??;
        Ok(stack)
    }

    /// The pids of the poller's instances.
    pub(super) fn pollers(&self) -> Vec<u32> {
        cpu::children_named(self.emulator.id(), POLLER)
    }

    /// CPU time of the whole stack, without Postgres.
    pub(super) fn cpu(&self) -> Duration {
        cpu::of_tree(self.emulator.id())
    }

    /// CPU time of each poller that runs, by pid.
    fn pollers_cpu(&self) -> HashMap<u32, Duration> {
        cpu::of_children_named(self.emulator.id(), POLLER)
    }

    /// The resident memory of these processes together, in MiB.
    pub(super) fn memory_of(&self, pids: &[u32]) -> f64 {
        pids.iter().filter_map(|pid| cpu::memory(*pid)).sum()
    }

    /// Stops the stack by closing the emulator's standard input.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.stdin.take());
        let mut emulator = self.emulator;
        tokio::task::spawn_blocking(move || emulator.wait()).await??;
        Ok(())
    }
}

/// CPU time of the pollers since a moment, also of those that start or end after it. That of their
/// last moments is not seen.
#[derive(Debug)]
pub(super) struct PollersCpu {
    before: HashMap<u32, Duration>,
    seen: HashMap<u32, Duration>,
}

impl PollersCpu {
    pub(super) fn begin(stack: &Stack) -> Self {
        Self {
            before: stack.pollers_cpu(),
            seen: HashMap::new(),
        }
    }

    pub(super) fn look(&mut self, stack: &Stack) {
        self.seen.extend(stack.pollers_cpu());
    }

    /// The CPU time up to the last look.
    pub(super) fn spent(&self) -> Duration {
        let before = |pid| self.before.get(pid).copied().unwrap_or_default();
        let seen = self.seen.iter();
        seen.map(|(pid, cpu)| cpu.saturating_sub(before(pid))).sum()
    }
}

fn wait_until_ready(output: impl BufRead + Send + 'static) -> anyhow::Result<()> {
    let mut lines = output.lines();
    for line in lines.by_ref() {
        let event: Value = serde_json::from_str(&line?).unwrap_or_default();
        if event["event"] == "ready" {
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(());
        }
    }
    anyhow::bail!("the emulator ended before it was ready")
}
