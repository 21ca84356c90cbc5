//! A function's binary, and a process of it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::events::Events;
use crate::cpu;
use crate::runtime_api::{RuntimeApi, Seen};

const PATIENCE: Duration = Duration::from_secs(30);
/// The functions, each with the largest size of its binary in MB. The others are compared with the
/// first.
const FUNCTIONS: [(&str, Option<f64>); 5] = [
    ("hello", None),
    ("api", Some(10.0)),
    ("poller", Some(10.0)),
    ("averager", Some(6.0)),
    ("upkeep", Some(10.0)),
];

/// A function's binary.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) megabytes: f64,
    pub(super) megabytes_limit: Option<f64>,
    path: PathBuf,
}

/// A process that serves invocations.
#[derive(Debug)]
pub(super) struct Instance {
    name: &'static str,
    started: Instant,
    child: Child,
    api: RuntimeApi,
}

/// The durations of a start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// From the start of the process to its first request for work.
    pub(super) asked: Duration,
    /// From the start of the process to its first answer.
    pub(super) answered: Duration,
}

impl Function {
    pub(super) fn all(directory: &Path) -> anyhow::Result<Vec<Self>> {
        FUNCTIONS
            .into_iter()
            .map(|(name, limit)| Self::find(directory, name, limit))
            .collect()
    }

    /// Finds the binary where cargo or cargo-lambda puts it.
    fn find(
        directory: &Path,
        name: &'static str,
        megabytes_limit: Option<f64>,
    ) -> anyhow::Result<Self> {
        let candidates = [name.to_owned(), format!("{name}/bootstrap")];
        let mut paths = candidates.iter().map(|candidate| directory.join(candidate));

        let path = paths.find(|path| path.is_file()).with_context(|| {
            format!(
                "no {name} in {}; docs/benchmarks.md explains how to build it",
                directory.display()
            )
        })?;

        #[expect(clippy::cast_precision_loss, reason = "a file's size")]
        let megabytes = path.metadata()?.len() as f64 / 1e6;

        Ok(Self {
            name,
            megabytes,
            megabytes_limit,
            path,
        })
    }
}

impl Instance {
    /// Starts a process as Lambda does, with hardly more variables than the template sets.
    pub(super) async fn start(function: &Function, events: &Events) -> anyhow::Result<Self> {
        let api = RuntimeApi::open().await?;

        let mut command = Command::new(&function.path);
        command
            .env_clear()
            .envs(events.environment())
            .env("AWS_LAMBDA_RUNTIME_API", api.address.to_string())
            .env(
                "AWS_ENDPOINT_URL_SCHEDULER",
                format!("http://{}", api.address),
            )
            .env("AWS_LAMBDA_FUNCTION_NAME", function.name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);

        let started = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("starting {}", function.path.display()))?;

        Ok(Self {
            name: function.name,
            started,
            child,
            api,
        })
    }

    /// Delivers `event`, and returns when it was requested and when it was answered, both since the
    /// start of the process.
    pub(super) async fn first_answer(&mut self, event: String) -> anyhow::Result<Start> {
        self.api.hand_out(event);

        let asked = match self.next().await? {
            (at, Seen::AskedForWork) => at - self.started,
            (_, Seen::Answered(answer)) => {
                anyhow::bail!("{} answered unasked: {answer:?}", self.name)
            }
        };

        match self.next().await? {
            (at, Seen::Answered(Ok(answer))) => {
                let failed =
                    answer.contains(r#""statusCode":"#) && !answer.contains(r#""statusCode":200"#);
                ensure!(!failed, "{} answered {answer}", self.name);
                Ok(Start {
                    asked,
                    answered: at - self.started,
                })
            }
            (_, other) => anyhow::bail!("{} did not answer: {other:?}", self.name),
        }
    }

    async fn next(&mut self) -> anyhow::Result<(Instant, Seen)> {
        let seen = timeout(PATIENCE, self.api.seen()).await;
        seen.ok()
            .flatten()
            .with_context(|| format!("nothing came from {} for {PATIENCE:?}", self.name))
    }

    /// Resident memory in MiB.
    pub(super) fn memory(&self) -> anyhow::Result<f64> {
        self.child
            .id()
            .and_then(cpu::memory)
            .with_context(|| format!("{} is gone", self.name))
    }

    pub(super) async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}
