//! What a batch holds, and when its offsets are committed.

use super::*;

#[tokio::test]
async fn offsets_are_committed_only_after_the_function_succeeded() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::closed());

    produce(&servers, 0, &["a", "b", "c"]).await;
    let running = Running::start(definition(), &servers, &function).await;

    function.calls(|calls| !calls.is_empty()).await;
    assert_eq!(committed(&servers, 0).await, None);

    function.gate.add_permits(100);
    until_committed(&servers, 0, 3).await;
    assert_eq!(function.calls(|_| true).await.concat(), ["a", "b", "c"]);

    running.stop().await;
}

#[tokio::test]
async fn each_partition_of_a_batch_is_committed_to_its_own_end_without_a_complaint() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::open(&[]));
    produce(&servers, 0, &["a", "b", "c"]).await;
    produce(&servers, 1, &["d", "e"]).await;

    let of_both = EventSourceMapping {
        batch_size: 5,
        batching_window: DEADLINE,
        ..definition()
    };

    let running = Running::start(of_both, &servers, &function).await;
    until_committed(&servers, 0, 3).await;
    until_committed(&servers, 1, 2).await;

    assert_eq!(
        function.calls(|_| true).await.len(),
        1,
        "one batch holds both"
    );

    let status = Arc::clone(&running.status);
    running.stop().await;
    assert_eq!(status.report().last_kafka_error, None);
}

#[tokio::test]
async fn a_batch_goes_as_soon_as_it_has_its_size_and_never_above_it() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::open(&[]));
    produce(&servers, 0, &["a", "b", "c", "d", "e"]).await;

    let sized = EventSourceMapping {
        batch_size: 2,
        batching_window: DEADLINE,
        ..definition()
    };

    let running = Running::start(sized, &servers, &function).await;
    let calls = function.calls(|calls| calls.len() == 2).await;
    assert_eq!(calls, [["a", "b"], ["c", "d"]]);
    until_committed(&servers, 0, 4).await;

    running.stop().await;
}

#[tokio::test]
async fn a_batching_window_that_ends_sends_what_there_is() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::open(&[]));

    let window = EventSourceMapping {
        batching_window: Duration::from_millis(300),
        ..definition()
    };

    let running = Running::start(window, &servers, &function).await;
    produce(&servers, 0, &["a"]).await;
    assert_eq!(function.calls(|calls| !calls.is_empty()).await, [["a"]]);

    running.stop().await;
}

#[tokio::test]
async fn records_of_a_busy_time_wait_and_go_together_in_order() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::closed());
    let running = Running::start(definition(), &servers, &function).await;

    produce(&servers, 0, &["a"]).await;
    function.calls(|calls| !calls.is_empty()).await;

    produce(&servers, 0, &["b", "c", "d"]).await;
    function.gate.add_permits(100);
    let calls = function.calls(|calls| calls.concat().len() == 4).await;
    assert_eq!(calls.concat(), ["a", "b", "c", "d"]);

    running.stop().await;
}

#[tokio::test]
async fn a_function_that_stays_busy_stops_the_reading_and_nothing_is_lost() {
    let broker = broker();
    let servers = broker.bootstrap_servers();
    let mut gathering = Gathering::start(&servers);

    produce(&servers, 0, &["x"; 40]).await;
    until("paused", async || gathering.consumer.context().is_paused(0)).await;

    let mut offsets = Vec::new();
    while offsets.len() < 40 {
        offsets.extend(gathering.offsets().await);
    }
    assert_eq!(offsets, (0..40).collect::<Vec<i64>>());

    gathering.stop().await;
}

#[tokio::test]
async fn partitions_of_different_lanes_are_handed_over_at_the_same_time() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::closed());
    produce(&servers, 0, &["a"]).await;
    produce(&servers, 1, &["b"]).await;

    let running = Running::start_with(definition(), two_at_a_time(&servers), &function).await;
    let mut calls = function.calls(|calls| calls.len() == 2).await;
    calls.sort();

    assert_eq!(
        calls,
        [["a"], ["b"]],
        "both are under way, and neither was let through"
    );

    function.gate.add_permits(100);
    until_committed(&servers, 0, 1).await;
    until_committed(&servers, 1, 1).await;

    running.stop().await;
}

#[tokio::test]
async fn a_partition_that_fails_for_ever_does_not_hold_up_the_other_lane() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::open(&["poison"]));

    let stubborn = EventSourceMapping {
        batch_size: 2,
        bisect_on_error: false,
        max_retry_attempts: None,
        on_failure_topic: None,
        ..definition()
    };

    produce(&servers, 0, &["poison"; 40]).await;
    let running = Running::start_with(stubborn, two_at_a_time(&servers), &function).await;
    produce(&servers, 1, &["x"; 40]).await;

    until_committed(&servers, 1, 40).await;
    assert_eq!(committed(&servers, 0).await, None);

    function.poison.lock().unwrap().clear();
    until_committed(&servers, 0, 40).await;

    running.stop().await;
}
