//! The host with real processes: the examples `echo` and `stubborn`, which `cargo test` builds with
//! the tests.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{FunctionHost, HostSettings};
use crate::invoker::{FunctionError, InvokeError, Invoker as _, Outcome};
use crate::template::FunctionDefinition;

mod children;
mod failures;
mod instances;
mod silence;
mod stopping;

const FUNCTION: &str = "test-echo";

/// Long enough for a slow machine. A test that waits this long fails.
const PATIENCE: Duration = Duration::from_secs(30);

struct Harness {
    host: Arc<FunctionHost>,
    directory: TempDir,
}

/// What differs between tests.
struct Setup {
    timeout: Duration,
    concurrency: Option<u32>,
    environment: &'static [(&'static str, &'static str)],
    binary: &'static str,
}

const SETUP: Setup = Setup {
    timeout: PATIENCE,
    concurrency: None,
    environment: &[],
    binary: "echo",
};

impl Harness {
    async fn start(setup: Setup) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let function = FunctionDefinition {
            name: FUNCTION.to_owned(),
            binary: setup.binary.to_owned(),
            arn: "arn:aws:lambda:us-east-1:000000000000:function:test-echo".to_owned(),
            timeout: setup.timeout,
            memory_mb: 128,
            reserved_concurrency: setup.concurrency,
            environment: [("DECLARED".to_owned(), "template".to_owned())].into(),
            async_retry_attempts: 0,
            async_max_age: Duration::from_secs(60),
        };

        let overrides = setup
            .environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));

        let settings = HostSettings {
            functions: vec![function],
            binary_directory: examples(),
            run_directory: directory.path().join("run"),
            overrides: overrides.collect::<BTreeMap<_, _>>(),
            max_instances: 64,
        };

        let host = FunctionHost::start(settings)
            .await
            .expect("the host starts");

        Self { host, directory }
    }

    async fn invoke(&self, payload: Value) -> Result<Outcome, InvokeError> {
        within(self.host.invoke(FUNCTION, Bytes::from(payload.to_string()))).await
    }

    async fn answer(&self, payload: Value) -> Value {
        match self.invoke(payload).await {
            Ok(Outcome::Success(answer)) => {
                serde_json::from_slice(&answer).expect("answers are JSON")
            }
            other => panic!("no answer but {other:?}"),
        }
    }

    async fn error(&self, payload: Value) -> FunctionError {
        match self.invoke(payload).await {
            Ok(Outcome::FunctionError(error)) => error,
            other => panic!("no function error but {other:?}"),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts a request that is worked on until the file `until` exists, and returns once the file
    /// `started` does.
    async fn waiting(
        &self,
        started: &str,
        until: &str,
    ) -> tokio::task::JoinHandle<Result<Outcome, InvokeError>> {
        let host = Arc::clone(&self.host);
        let payload =
            json!({ "do": "wait", "started": self.file(started), "until": self.file(until) });

        let request = tokio::spawn(async move {
            host.invoke(FUNCTION, Bytes::from(payload.to_string()))
                .await
        });

        eventually(|| self.file(started).exists()).await;
        request
    }

    fn only_process(&self) -> Pid {
        match self.host.instances().as_slice() {
            [(_, pid)] => Pid::from_raw(i32::try_from(*pid).expect("process ids are small")),
            other => panic!("not one instance but {other:?}"),
        }
    }

    /// Waits for a process, and asserts that it is the only one.
    async fn only_process_soon(&self) -> Pid {
        eventually(|| !self.host.instances().is_empty()).await;
        self.only_process()
    }

    fn process_files(&self) -> usize {
        std::fs::read_dir(self.file("run"))
            .expect("the run directory is there")
            .count()
    }
}

fn examples() -> PathBuf {
    let own = std::env::current_exe().expect("this program has a name");

    let profile = own
        .parent()
        .and_then(|deps| deps.parent())
        .expect("tests lie in <profile>/deps");

    let examples = profile.join("examples");

    assert!(
        examples.join("echo").exists() && examples.join("stubborn").exists(),
        "build the examples first: cargo build --workspace --examples"
    );

    examples
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it happens in time")
}

async fn eventually(condition: impl Fn() -> bool) {
    within(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn gone(pid: Pid) -> bool {
    kill(pid, None).is_err()
}
