//! Instances that do not request their next event: each is ended, and another takes its place.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

use super::{FUNCTION, Harness, Setup, eventually, gone, within};
use crate::function_host::liveness::{self, Life};

const STUBBORN: Setup = Setup {
    binary: "stubborn",
    concurrency: Some(1),
    ..super::SETUP
};

/// Has the function do `what`, and then invokes it again. Another process must answer.
async fn is_replaced_after(what: &str) {
    let harness = Harness::start(STUBBORN).await;
    within(harness.host.warm(FUNCTION)).await.unwrap();
    let pid = harness.only_process_soon().await;

    assert_eq!(harness.answer(json!({ "do": what })).await, pid.as_raw());
    assert_ne!(harness.answer(json!({})).await, pid.as_raw());

    eventually(|| gone(pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_after_its_answer_is_replaced() {
    is_replaced_after("hang").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_stopped_after_its_answer_is_replaced() {
    is_replaced_after("stop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_asks_and_hangs_up_is_replaced() {
    let harness = Harness::start(STUBBORN).await;

    let done = harness.file("done");
    let pid = harness
        .answer(json!({ "do": "vanish", "done": done }))
        .await;

    let waits = || harness.host.pools[FUNCTION].state().idle() > 0;
    eventually(|| done.exists() && !waits()).await;

    assert_ne!(harness.answer(json!({})).await, pid);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_stopped_while_it_waits_gets_no_request_and_is_replaced() {
    let harness = Harness::start(STUBBORN).await;

    within(harness.host.warm(FUNCTION)).await.unwrap();
    let pid = harness.only_process_soon().await;
    kill(pid, Signal::SIGSTOP).unwrap();

    let number = u32::try_from(pid.as_raw()).unwrap();
    eventually(|| liveness::of(number) == Life::Stopped).await;

    assert_ne!(harness.answer(json!({})).await, pid.as_raw());
    eventually(|| gone(pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_answer_never_ends_is_ended_when_the_functions_time_is_up() {
    let harness = Harness::start(Setup {
        timeout: Duration::from_secs(1),
        ..STUBBORN
    })
    .await;

    assert_eq!(
        harness.error(json!({ "do": "trickle" })).await.error_type,
        "Sandbox.Timedout"
    );

    assert!(harness.answer(json!({})).await.is_number());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_asks_after_its_start_is_an_error_and_is_ended() {
    let harness = Harness::start(Setup {
        environment: &[("STUBBORN_INIT", "hang")],
        ..STUBBORN
    })
    .await;

    let request = harness.error(json!({}));
    tokio::pin!(request);
    assert!(futures::poll!(&mut request).is_pending());
    let pid = harness.only_process_soon().await;

    let error = request.await;

    assert!(
        error
            .message
            .ends_with("Error: Init timed out after 15.00 seconds"),
        "{}",
        error.message
    );

    eventually(|| gone(pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_gets_another_instance_at_once_where_the_concurrency_allows_it() {
    let harness = Harness::start(Setup {
        concurrency: Some(2),
        ..STUBBORN
    })
    .await;

    let silent = harness.answer(json!({ "do": "hang" })).await;
    let answer: Value = harness.answer(json!({})).await;

    assert_ne!(answer, silent);

    // The silent one has not been ended yet.
    assert_eq!(harness.host.instances().len(), 2);
}
