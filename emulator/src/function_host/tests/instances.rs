//! Which instance serves which request, and how many instances there are.

use std::collections::BTreeSet;

use futures::future::join_all;
use nix::sys::signal::{Signal, kill};
use serde_json::json;

use super::{FUNCTION, Harness, SETUP, Setup, eventually, gone, within};
use crate::invoker::{InvokeError, Invoker as _, Outcome};
use axum::body::Bytes;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_by_an_instance_started_for_it() {
    let harness = Harness::start(SETUP).await;
    assert!(harness.host.instances().is_empty());

    let payload = json!({ "symbol": "AAPL", "text": "Zürich" });
    assert_eq!(harness.answer(payload.clone()).await, payload);

    assert_eq!(harness.host.instances().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_after_the_other_needs_one_instance() {
    let harness = Harness::start(SETUP).await;

    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        seen.insert(harness.answer(json!({ "do": "pid" })).await.as_u64());
    }

    assert_eq!(seen.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_the_same_time_get_instances_of_their_own_up_to_the_limit() {
    let harness = Harness::start(Setup {
        concurrency: Some(2),
        ..SETUP
    })
    .await;

    let first = harness.waiting("started-1", "release").await;
    let second = harness.waiting("started-2", "release").await;
    assert_eq!(harness.host.instances().len(), 2);

    let third = harness.answer(json!({ "do": "echo" }));
    tokio::pin!(third);
    assert!(futures::poll!(&mut third).is_pending());
    assert_eq!(harness.host.instances().len(), 2);

    std::fs::write(harness.file("release"), "").unwrap();
    within(third).await;

    for request in [first, second] {
        assert_eq!(
            within(request).await.unwrap().unwrap(),
            Outcome::Success(Bytes::from("\"waited\""))
        );
    }

    assert_eq!(harness.host.instances().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reserved_concurrency_of_zero_throttles_everything() {
    let harness = Harness::start(Setup {
        concurrency: Some(0),
        ..SETUP
    })
    .await;

    assert_eq!(
        harness.invoke(json!({})).await,
        Err(InvokeError::Throttled(FUNCTION.to_owned()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_function_is_named() {
    let harness = Harness::start(SETUP).await;
    let answer = harness.host.invoke("nobody", Bytes::new()).await;
    assert_eq!(
        answer,
        Err(InvokeError::NoSuchFunction("nobody".to_owned()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_function_has_an_instance_ready_before_the_first_request() {
    let harness = Harness::start(SETUP).await;

    within(harness.host.warm(FUNCTION)).await.unwrap();
    within(harness.host.warm(FUNCTION)).await.unwrap();

    let pid = harness.only_process_soon().await;
    assert_eq!(harness.answer(json!({ "do": "pid" })).await, pid.as_raw());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_killed_while_idle_costs_the_next_request_nothing_but_a_start() {
    let harness = Harness::start(SETUP).await;
    for _ in 0..10 {
        within(harness.host.warm(FUNCTION)).await.unwrap();
        let pid = harness.only_process_soon().await;
        kill(pid, Signal::SIGKILL).unwrap();
        assert_ne!(harness.answer(json!({ "do": "pid" })).await, pid.as_raw());
        eventually(|| gone(pid) && harness.host.instances().len() == 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_many_requests_are_answered() {
    let harness = Harness::start(Setup {
        concurrency: Some(4),
        ..SETUP
    })
    .await;

    let requests = (0..200).map(|number| harness.answer(json!({ "number": number })));
    let answers = join_all(requests).await;

    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer["number"], number);
    }

    assert!(harness.host.instances().len() <= 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_functions_environment_is_the_templates_below_the_overrides_and_lambdas_own() {
    let harness = Harness::start(Setup {
        environment: &[("OVERRIDDEN", "override")],
        ..SETUP
    })
    .await;

    let read = async |name: &str| {
        harness
            .answer(json!({ "do": "variable", "name": name }))
            .await
    };

    assert_eq!(read("DECLARED").await, "template");
    assert_eq!(read("OVERRIDDEN").await, "override");
    assert_eq!(read("AWS_LAMBDA_FUNCTION_NAME").await, FUNCTION);
    assert_eq!(read("AWS_REGION").await, "us-east-1");

    assert!(
        read("NO_PROXY")
            .await
            .as_str()
            .unwrap()
            .contains("127.0.0.1")
    );

    // Cargo sets it for this test. Variables that are not named are not inherited.
    assert_eq!(read("CARGO_MANIFEST_DIR").await, json!(null));
}
