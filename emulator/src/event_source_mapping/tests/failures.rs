//! What becomes of batches that fail.

use super::*;

#[tokio::test]
async fn a_failed_batch_is_tried_again_with_the_same_records() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::open(&["b"]));
    produce(&servers, 0, &["a", "b"]).await;
    let unsplit = EventSourceMapping { bisect_on_error: false, max_retry_attempts: None, ..definition() };
    let whole = EventSourceMapping { batch_size: 2, batching_window: DEADLINE, ..unsplit };
    let running = Running::start(whole, &servers, &function).await;
    let calls = function.calls(|calls| calls.len() == 3).await;
    assert_eq!(calls, [["a", "b"], ["a", "b"], ["a", "b"]]);
    assert_eq!(committed(&servers, 0).await, None);
    function.poison.lock().unwrap().clear();
    until_committed(&servers, 0, 2).await;
    running.stop().await;
}

#[tokio::test]
async fn a_poison_record_becomes_a_dead_letter_and_its_neighbours_pass() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::open(&["c"]));
    produce(&servers, 0, &["a", "b", "c", "d", "e", "f"]).await;
    let six = EventSourceMapping { batch_size: 6, batching_window: DEADLINE, ..definition() };
    let running = Running::start(six, &servers, &function).await;
    until_committed(&servers, 0, 6).await;
    let passed: Vec<String> = function
        .calls(|_| true)
        .await
        .into_iter()
        .filter(|call| !call.contains(&"c".to_owned()))
        .flatten()
        .collect();
    assert_eq!(passed, ["a", "b", "d", "e", "f"]);
    let (key, letter) = dead_letters(&servers, 1).await.remove(0);
    assert_eq!(key, "AAPL");
    assert_eq!(values(&letter["payload"]), ["c"]);
    assert_eq!(letter["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(letter["requestContext"]["approximateInvokeCount"], 2);
    let function_arn = "arn:aws:lambda:us-east-1:000000000000:function:averager:$LATEST";
    assert_eq!(letter["requestContext"]["functionArn"], function_arn);
    assert_eq!(letter["KafkaBatchInfo"]["recordInfo"]["offset"], "2");
    assert_eq!(letter["responseContext"]["functionError"], "Unhandled");
    running.stop().await;
}

#[tokio::test]
async fn records_older_than_allowed_become_dead_letters_untried() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::open(&[]));
    produce(&servers, 0, &["a"]).await;
    let fresh_only = EventSourceMapping { max_record_age: Some(Duration::ZERO), ..definition() };
    let running = Running::start(fresh_only, &servers, &function).await;
    let (_, letter) = dead_letters(&servers, 1).await.remove(0);
    assert_eq!(letter["requestContext"]["condition"], "RecordAgeExceeded");
    assert_eq!(letter["responseContext"], Value::Null);
    until_committed(&servers, 0, 1).await;
    assert!(function.calls(|_| true).await.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn a_batch_that_meets_a_host_which_is_being_replaced_goes_to_the_next_one() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::open(&[]));
    *function.refusals.lock().unwrap() = 1;
    produce(&servers, 0, &["a"]).await;
    let running = Running::start(definition(), &servers, &function).await;
    produce(&servers, 0, &["b"]).await;
    until_committed(&servers, 0, 2).await;
    assert_eq!(function.calls(|_| true).await.concat(), ["a", "b"]);
    running.stop().await;
}
