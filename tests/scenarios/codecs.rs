//! Every codec that brokers and clients support, whether the producer compresses or the topic does.

use std::time::Duration;

use e2e::stack::{Options, Stack};
use e2e::topic::{PRICE_EVENTS, Producer};
use e2e::waiting::until;
use futures::future::try_join_all;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

const CODECS: [&str; 4] = ["gzip", "snappy", "lz4", "zstd"];
/// The records in a batch: enough that compression makes it smaller, so that it is applied.
const RECORDS: u32 = 100;

/// Sends records in one batch, and waits until each is a point.
async fn averaged(stack: &Stack, producer: &Producer, symbol: &str) {
    let records = (0..RECORDS).map(|number| {
        let (minute, second) = (number / 60, number % 60);
        let event = format!(
            r#"{{"symbol":"{symbol}","price":1.5,"timestamp":"2024-03-20T10:{minute:02}:{second:02}Z","source":"elsewhere"}}"#
        );
        async move { producer.send(symbol, event.as_bytes()).await }
    });

    try_join_all(records).await.unwrap();

    until(
        &format!("average of {symbol}"),
        Duration::from_secs(30),
        async || {
            let path = format!("/prices/history?symbol={symbol}&provider=elsewhere&limit=1000");
            let (_, history) = stack.get(&path).await;
            let items = history["items"].as_array()?;
            (items.len() == usize::try_from(RECORDS).ok()?).then_some(())
        },
    )
    .await;
}

#[tokio::test]
async fn batches_that_producers_compress_are_averaged_whatever_the_codec() {
    let data = tempfile::tempdir().unwrap();
    let stack = Stack::start_in(data.path()).await.unwrap();

    for codec in CODECS {
        let producer = Producer::compressing(&stack.ready.kafka_bootstrap_servers, codec).unwrap();
        averaged(&stack, &producer, &codec.to_uppercase()).await;
    }
}

#[tokio::test]
#[ignore = "needs a real broker, so Java and Maven: TEST_BROKER=kafka cargo test --test scenarios -- --include-ignored"]
async fn batches_that_the_topic_compresses_are_averaged_whatever_the_codec() {
    let data = tempfile::tempdir().unwrap();
    let flags: &[&str] = &["--broker", "kafka"];
    let options = Options {
        data_directory: data.path().into(),
        flags,
        ..Options::default()
    };

    let stack = Stack::start(options).await.unwrap();

    let servers = &stack.ready.kafka_bootstrap_servers;
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .create()
        .unwrap();
    let producer = stack.producer().unwrap();

    for codec in CODECS {
        let compress =
            AlterConfig::new(ResourceSpecifier::Topic(PRICE_EVENTS)).set("compression.type", codec);

        let altered = admin
            .alter_configs([&compress], &AdminOptions::new())
            .await
            .unwrap();
        assert!(altered.iter().all(Result::is_ok), "{altered:?}");

        averaged(&stack, &producer, &codec.to_uppercase()).await;
    }
}
