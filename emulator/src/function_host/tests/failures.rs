//! The errors that callers get from a function that fails.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{FUNCTION, Harness, SETUP, Setup, eventually, gone, within};
use crate::invoker::Outcome;

#[tokio::test(flavor = "multi_thread")]
async fn a_handlers_error_arrives_as_it_was_reported() {
    let harness = Harness::start(SETUP).await;

    let error = harness.error(json!({ "do": "fail" })).await;
    assert_eq!(error.message, "asked to fail");

    let payload: Value = serde_json::from_slice(&error.payload).unwrap();
    assert_eq!(
        (&payload["errorMessage"], &payload["errorType"]),
        (&json!("asked to fail"), &json!(error.error_type))
    );

    assert_eq!(harness.answer(json!("still there")).await, "still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_exits_while_working_is_an_error_and_is_replaced() {
    let harness = Harness::start(SETUP).await;

    let error = harness.error(json!({ "do": "exit" })).await;
    assert_eq!(error.error_type, "Runtime.ExitError");

    assert!(
        error.message.starts_with("RequestId: "),
        "{}",
        error.message
    );

    assert!(
        error
            .message
            .ends_with("Error: Runtime exited with error: exit status 3"),
        "{}",
        error.message
    );

    assert_eq!(harness.answer(json!("next")).await, "next");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_while_working_is_an_error_and_is_replaced() {
    let harness = Harness::start(SETUP).await;

    let request = harness.waiting("started", "never").await;
    kill(harness.only_process(), Signal::SIGKILL).unwrap();

    let Outcome::FunctionError(error) = within(request).await.unwrap().unwrap() else {
        panic!("it answered")
    };

    assert!(
        error
            .message
            .ends_with("Error: Runtime exited with error: signal: killed"),
        "{}",
        error.message
    );

    assert_eq!(harness.answer(json!("next")).await, "next");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_past_the_timeout_is_an_error_and_its_instance_is_killed() {
    let harness = Harness::start(Setup {
        timeout: Duration::from_secs(1),
        ..SETUP
    })
    .await;

    within(harness.host.warm(FUNCTION)).await.unwrap();
    let pid = harness.only_process();

    let error = harness
        .error(
            json!({ "do": "wait", "started": harness.file("s"), "until": harness.file("never") }),
        )
        .await;

    assert_eq!(error.error_type, "Sandbox.Timedout");
    assert!(
        error
            .message
            .ends_with("Error: Task timed out after 1.00 seconds"),
        "{}",
        error.message
    );

    eventually(|| gone(pid)).await;
    assert_eq!(harness.answer(json!("next")).await, "next");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_always_dies_at_its_start_answers_every_request_with_an_error() {
    let harness = Harness::start(Setup {
        environment: &[("ECHO_INIT", "exit")],
        ..SETUP
    })
    .await;

    for _ in 0..3 {
        let error = harness.error(json!({})).await;
        assert!(
            error
                .message
                .ends_with("Error: Runtime exited with error: exit status 7"),
            "{}",
            error.message
        );
    }

    assert!(within(harness.host.warm(FUNCTION)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_that_is_not_there_is_an_error() {
    let harness = Harness::start(Setup {
        binary: "not-built",
        ..SETUP
    })
    .await;

    let error = harness.error(json!({})).await;
    assert_eq!(error.error_type, "Runtime.InvalidEntrypoint");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_over_six_megabytes_is_an_error() {
    let harness = Harness::start(SETUP).await;

    let error = harness.error(json!({ "do": "large" })).await;
    assert_eq!(error.error_type, "Function.ResponseSizeTooLarge");

    assert_eq!(harness.answer(json!("next")).await, "next");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_an_error_of_its_own() {
    let harness = Harness::start(SETUP).await;
    let request = harness.waiting("started", "never").await;

    let request_id = || std::fs::read_to_string(harness.file("started")).unwrap();
    eventually(|| !request_id().is_empty()).await;
    let environment = format!("/proc/{}/environ", harness.only_process());
    let environment = std::fs::read_to_string(environment).unwrap();
    let api = environment
        .split('\0')
        .find_map(|variable| variable.strip_prefix("AWS_LAMBDA_RUNTIME_API=http://"))
        .unwrap();

    let (address, base) = api.split_once('/').unwrap();
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /{base}/2018-06-01/runtime/invocation/{}/response HTTP/1.1\r\nhost: {address}\r\n\
         content-length: 100\r\n\r\n{{\"half",
        request_id()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    drop(connection);

    let Outcome::FunctionError(error) = within(request).await.unwrap().unwrap() else {
        panic!("it answered")
    };
    assert_eq!(error.error_type, "Runtime.TruncatedResponse");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_at_the_runtime_api_get_nothing() {
    let harness = Harness::start(SETUP).await;

    within(harness.host.warm(FUNCTION)).await.unwrap();
    let base = format!("http://{}/{FUNCTION}", harness.host.address());
    let other = "00000000-0000-0000-0000-000000000000";

    for path in [
        format!("{other}/2018-06-01/runtime/invocation/next"),
        "x/2018-06-01/runtime/invocation/next".to_owned(),
    ] {
        let answer = reqwest::get(format!("{base}/{path}")).await.unwrap();
        assert_eq!(answer.status(), 403);
    }
}
