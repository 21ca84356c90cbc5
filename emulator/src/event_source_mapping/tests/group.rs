//! Restarts, other members of the group, and topics that do not exist yet.

use super::*;

#[tokio::test]
async fn a_restart_goes_on_after_the_last_commit() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::open(&[]));

    produce(&servers, 0, &["a", "b"]).await;
    let running = Running::start(definition(), &servers, &function).await;
    until_committed(&servers, 0, 2).await;
    running.stop().await;

    produce(&servers, 0, &["c"]).await;
    let running = Running::start(definition(), &servers, &function).await;
    until_committed(&servers, 0, 3).await;

    assert_eq!(function.calls(|_| true).await.concat(), ["a", "b", "c"]);
    running.stop().await;
}

#[tokio::test]
async fn a_batch_in_flight_at_the_stop_is_committed_if_it_succeeds() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::closed());

    produce(&servers, 0, &["a"]).await;
    let running = Running::start(definition(), &servers, &function).await;
    function.calls(|calls| !calls.is_empty()).await;

    running.stop.cancel();
    function.gate.add_permits(1);
    running.stop().await;

    assert_eq!(committed(&servers, 0).await, Some(1));
}

#[tokio::test]
async fn a_batch_that_fails_at_the_stop_is_delivered_again_at_the_next_start() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::closed());
    function.poison.lock().unwrap().insert("a".to_owned());
    produce(&servers, 0, &["a"]).await;

    let running = Running::start(definition(), &servers, &function).await;
    function.calls(|calls| !calls.is_empty()).await;

    running.stop.cancel();
    function.gate.add_permits(100);
    running.stop().await;

    assert_eq!(committed(&servers, 0).await, None);

    function.poison.lock().unwrap().clear();
    let running = Running::start(definition(), &servers, &function).await;
    until_committed(&servers, 0, 1).await;
    running.stop().await;
}

#[tokio::test]
async fn a_batch_in_flight_does_not_commit_partitions_that_were_taken_away() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::closed());
    produce(&servers, 0, &["a"]).await;
    produce(&servers, 1, &["b"]).await;
    let running = Running::start(definition(), &servers, &function).await;
    function.calls(|calls| !calls.is_empty()).await;

    let other = client(&servers, "averager");
    other.subscribe(&[TOPIC]).unwrap();
    let taken = tokio::task::spawn_blocking(move || {
        while other.assignment().unwrap().count() == 0 {
            // The other member does not commit what it reads, not even when it leaves.
            other.poll(Duration::from_millis(100));
        }
        let taken = other.assignment().unwrap().elements()[0].partition();
        (other, taken)
    });

    let (other, taken) = tokio::time::timeout(DEADLINE, taken)
        .await
        .expect("no partition was taken")
        .unwrap();

    function.gate.add_permits(100);
    until_committed(&servers, 1 - taken, 1).await;
    assert_eq!(committed(&servers, taken).await, None);

    drop(running.stop);
    drop(tokio::task::spawn_blocking(move || drop(other)).await);
}

#[tokio::test]
async fn a_topic_that_is_made_later_is_read() {
    let broker = MockCluster::new(1).unwrap();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::open(&[]));
    let (running, _joined) = Running::joining(definition(), reader(&servers), &function);

    broker.create_topic(TOPIC, 2, 1).unwrap();
    produce(&servers, 0, &["a"]).await;
    assert_eq!(function.calls(|calls| !calls.is_empty()).await, [["a"]]);

    running.stop().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_broker_that_is_away() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::closed());

    produce(&servers, 0, &["a"]).await;
    let running = Running::start(definition(), &servers, &function).await;
    function.calls(|calls| !calls.is_empty()).await;

    drop(broker);
    function.gate.add_permits(1);

    running.stop().await;
}

#[tokio::test]
async fn a_partition_that_was_paused_when_it_was_taken_away_is_read_on_when_it_comes_back() {
    let broker = broker();
    let servers = broker.bootstrap_servers();
    let mut gathering = Gathering::start(&servers);
    produce(&servers, 0, &["x"; 40]).await;
    until("paused", async || gathering.consumer.context().is_paused(0)).await;

    let other = client(&servers, "averager");
    other.subscribe(&[TOPIC]).unwrap();
    let other = tokio::task::spawn_blocking(move || {
        while other.assignment().unwrap().count() == 0 {
            other.poll(Duration::from_millis(100));
        }

        // Leaving the group returns all partitions.
        drop(other);
    });
    tokio::time::timeout(DEADLINE, other)
        .await
        .expect("no partition was given away")
        .unwrap();
    until("all partitions again", async || {
        let assignment = gathering.consumer.context();
        assignment.epoch(0).is_some() && assignment.epoch(1).is_some()
    })
    .await;

    while gathering.offsets().await.last() != Some(&39) {}
    gathering.stop().await;
}
