//! The topics that upkeep creates on a real Kafka.

use std::time::Duration;

use e2e::stack::{Options, Stack};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use serde_json::json;

#[tokio::test]
#[ignore = "needs a real broker, so Java and Maven: TEST_BROKER=kafka cargo test --test scenarios -- --include-ignored"]
async fn topics_are_made_durable_and_bounded_and_weaker_ones_are_told_but_left_alone() {
    let data = tempfile::tempdir().unwrap();
    let options = Options {
        data_directory: data.path().into(),
        flags: &["--broker", "kafka"],
        ..Options::default()
    };

    let stack = Stack::start(options).await.unwrap();

    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &stack.ready.kafka_bootstrap_servers);
    let admin: AdminClient<DefaultClientContext> = config.create().unwrap();

    let (wait, topic) = (
        AdminOptions::new().request_timeout(Some(Duration::from_secs(20))),
        "price-events",
    );

    let settings = async |topic: &str| {
        let told = admin
            .describe_configs(&[ResourceSpecifier::Topic(topic)], &wait)
            .await
            .unwrap();

        let told = told.into_iter().next().unwrap().unwrap();

        let names = [
            "min.insync.replicas",
            "retention.ms",
            "message.timestamp.after.max.ms",
            "compression.type",
        ];

        names.map(|name| {
            told.get(name)
                .and_then(|entry| entry.value.clone())
                .unwrap_or_default()
        })
    };

    // There is one broker, so one replica.
    assert_eq!(
        settings(topic).await,
        ["1", "604800000", "300000", "producer"]
    );

    let dead_letters = settings("price-events.dlt").await;
    assert_eq!(dead_letters[..2], ["1", "2592000000"]);

    assert_eq!(
        stack.invoke("upkeep", "upkeep-scheduled").await["topics_weaker"],
        json!([])
    );

    let weaker = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("retention.ms", "3600000");
    admin.alter_configs(&[weaker], &wait).await.unwrap();

    let told = &stack.invoke("upkeep", "upkeep-scheduled").await["topics_weaker"];
    assert_eq!(
        told[0],
        "retention.ms of price-events is 3600000, not 604800000"
    );

    assert_eq!(
        settings(topic).await[1],
        "3600000",
        "it is its owner's to change"
    );
}
