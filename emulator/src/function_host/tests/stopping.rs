//! The stop of a host.

use std::time::Duration;

use axum::body::Bytes;
use serde_json::json;

use super::{FUNCTION, Harness, PATIENCE, SETUP, Setup, gone, within};
use crate::invoker::{InvokeError, Outcome};

#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_no_process_and_no_process_file_is_left_and_no_work_is_taken() {
    let harness = Harness::start(SETUP).await;

    within(harness.host.warm(FUNCTION)).await.unwrap();
    let pid = harness.only_process_soon().await;
    assert_eq!(harness.process_files(), 1);

    within(harness.host.stop(PATIENCE)).await;

    assert!(gone(pid));
    assert_eq!(harness.process_files(), 0);
    assert_eq!(harness.invoke(json!({})).await, Err(InvokeError::Stopping));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_instance_finishes_its_answer_before_it_is_ended() {
    let harness = Harness::start(SETUP).await;

    let request = harness.waiting("started", "release").await;
    let pid = harness.only_process_soon().await;

    let host = std::sync::Arc::clone(&harness.host);
    let stop = tokio::spawn(async move { host.stop(PATIENCE).await });
    within(async { while harness.invoke(json!({})).await != Err(InvokeError::Stopping) {} }).await;

    std::fs::write(harness.file("release"), "").unwrap();
    assert_eq!(
        within(request).await.unwrap().unwrap(),
        Outcome::Success(Bytes::from("\"waited\""))
    );

    within(stop).await.unwrap();
    assert!(gone(pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_instance_that_handles_sigterm_is_told_at_once() {
    let harness = Harness::start(Setup {
        environment: &[("ECHO_HANDLES_SIGTERM", "1")],
        ..SETUP
    })
    .await;

    let request = harness.waiting("started", "never").await;
    let host = std::sync::Arc::clone(&harness.host);
    let stop = tokio::spawn(async move { host.stop(Duration::from_secs(2)).await });

    assert_eq!(
        within(request).await.unwrap().unwrap(),
        Outcome::Success(Bytes::from("\"terminated\""))
    );

    within(stop).await.unwrap();
    assert!(harness.host.instances().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outlasts_the_grace_is_killed_and_its_caller_told() {
    let harness = Harness::start(SETUP).await;

    let request = harness.waiting("started", "never").await;
    let pid = harness.only_process_soon().await;

    within(harness.host.stop(Duration::ZERO)).await;

    assert!(gone(pid));
    assert!(matches!(
        within(request).await.unwrap().unwrap(),
        Outcome::FunctionError(_)
    ));
}
