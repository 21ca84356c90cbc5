//! The emulator's membership in its consumer group.

use std::time::Duration;

use e2e::stack::{Options, Stack};
use e2e::waiting::until;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

const ENVIRONMENT: [(&str, &str); 1] = [("REPLAY_STEP_SECONDS", "1")];

/// Joins the emulator's group under the emulator's own name, so that Kafka fences the emulator, and
/// leaves.
fn impostor(bootstrap_servers: &str, member: &str) -> anyhow::Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("group.id", "averager")
        .set("group.instance.id", format!("{member}-averager-prices"))
        .set("session.timeout.ms", "6000")
        .set("enable.auto.commit", "false")
        .create()?;

    consumer.subscribe(&["price-events"])?;

    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while consumer.assignment()?.count() == 0 {
        anyhow::ensure!(
            std::time::Instant::now() < deadline,
            "no partitions were assigned"
        );
        // Nothing is committed, so the emulator reads these records again.
        drop(consumer.poll(Duration::from_millis(100)));
    }

    Ok(())
}

#[tokio::test]
#[ignore = "needs a real broker, so Java and Maven: TEST_BROKER=kafka cargo test --test scenarios -- --include-ignored"]
async fn an_emulator_that_kafka_shut_out_joins_again_and_averages_on() {
    let data = tempfile::tempdir().unwrap();
    let flags: &[&str] = &["--broker", "kafka"];
    let options = Options {
        data_directory: data.path().into(),
        environment: &ENVIRONMENT,
        flags,
    };
    let stack = Stack::start(options).await.unwrap();

    let member = std::fs::read_to_string(data.path().join("group-member")).unwrap();
    let servers = stack.ready.kafka_bootstrap_servers.clone();

    tokio::task::spawn_blocking(move || impostor(&servers, &member))
        .await
        .unwrap()
        .unwrap();

    let (status, quote) = stack.get("/prices/latest?symbol=AAPL&max_age=0").await;
    assert_eq!(status, 200, "{quote}");
    until(
        "average of a quote published after it",
        Duration::from_secs(60),
        async || {
            let (status, average) = stack.get("/prices/average?symbol=AAPL").await;
            (status == 200 && average["timestamp"].as_str() >= quote["timestamp"].as_str())
                .then_some(())
        },
    )
    .await;
}
