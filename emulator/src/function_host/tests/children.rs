//! Processes that a function started: none of them outlives its instance.

use std::time::Duration;

use nix::unistd::Pid;
use serde_json::json;

use super::{Harness, PATIENCE, Setup, eventually, gone, within};
use crate::function_host::liveness::{self, Life};

const STUBBORN: Setup = Setup {
    binary: "stubborn",
    concurrency: Some(1),
    ..super::SETUP
};

impl Harness {
    /// A script that starts three processes and notes their ids: one in the function's process
    /// group, one in a session of its own, and one in a session of its own with an empty
    /// environment and a parent that lives.
    fn script(&self) -> String {
        let noted = |name: &str| self.file(name).display().to_string();

        format!(
            "sleep 600 & echo $! >{}\n setsid sleep 600 & echo $! >{}\n setsid env -i sleep 600 & echo $! >{}\n wait",
            noted("grouped"),
            noted("apart"),
            noted("bare")
        )
    }

    async fn children(&self) -> Vec<Pid> {
        let mut pids = Vec::new();
        for name in ["grouped", "apart", "bare"] {
            let read = || {
                std::fs::read_to_string(self.file(name))
                    .ok()?
                    .trim()
                    .parse()
                    .ok()
            };

            eventually(|| read().is_some()).await;
            pids.push(Pid::from_raw(read().expect("it was just read")));
        }
        pids
    }

    async fn all_end(&self) {
        for pid in self.children().await {
            eventually(|| gone_or_dead(pid)).await;
        }
    }
}

/// A container without an init process may never collect the orphans.
fn gone_or_dead(pid: Pid) -> bool {
    let pid = u32::try_from(pid.as_raw()).expect("process ids are positive");
    liveness::of(pid) == Life::Ended
}

#[tokio::test(flavor = "multi_thread")]
async fn they_end_when_it_crashes() {
    let harness = Harness::start(STUBBORN).await;

    let error = harness
        .error(json!({ "do": "spawn-and-exit", "script": harness.script() }))
        .await;

    assert_eq!(error.error_type, "Runtime.ExitError");
    harness.all_end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_end_when_its_time_is_up() {
    let harness = Harness::start(Setup {
        timeout: Duration::from_secs(2),
        ..STUBBORN
    })
    .await;

    let error = harness
        .error(json!({ "do": "spawn-and-work", "script": harness.script() }))
        .await;

    assert_eq!(error.error_type, "Sandbox.Timedout");
    harness.all_end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_live_on_after_its_answer_and_end_when_the_host_stops() {
    let harness = Harness::start(STUBBORN).await;

    let pid = harness
        .answer(json!({ "do": "spawn", "script": harness.script() }))
        .await;

    let children = harness.children().await;

    assert_eq!(harness.answer(json!({})).await, pid);
    assert!(!children.iter().any(|child| gone(*child)));

    within(harness.host.stop(PATIENCE)).await;
    assert!(children.into_iter().all(gone_or_dead));
}
