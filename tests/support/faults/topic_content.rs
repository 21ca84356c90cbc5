//! The content of a topic in Kafka, and the lag of a group.

use std::time::{Duration, Instant};

use anyhow::ensure;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(30);
const REQUEST: Duration = Duration::from_secs(5);

fn client(bootstrap_servers: &str, group: &str) -> anyhow::Result<BaseConsumer> {
    let client = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("allow.auto.create.topics", "false")
        .set("fetch.wait.max.ms", "20")
        .set("fetch.queue.backoff.ms", "5")
        .set("log_level", "0")
        .create()?;
    Ok(client)
}

/// Each partition's number, and the offset after its last record.
fn ends(client: &BaseConsumer, topic: &str) -> anyhow::Result<Vec<(i32, i64)>> {
    let metadata = client.fetch_metadata(Some(topic), REQUEST)?;

    let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
    let ends = partitions.map(|partition| {
        let (_, end) = client.fetch_watermarks(topic, partition.id(), REQUEST)?;
        Ok((partition.id(), end))
    });
    ends.collect()
}

/// Every record of a topic, from its beginning to its present end.
///
/// # Errors
/// When Kafka does not answer, or the records do not arrive within 30 s.
pub fn records(bootstrap_servers: &str, topic: &str) -> anyhow::Result<Vec<OwnedMessage>> {
    let client = client(bootstrap_servers, "reader")?;
    let mut missing = ends(&client, topic)?;
    ensure!(!missing.is_empty(), "{topic} has no partitions");

    let mut from = TopicPartitionList::new();
    for (partition, _) in &missing {
        from.add_partition_offset(topic, *partition, Offset::Beginning)?;
    }
    client.assign(&from)?;

    missing.retain(|(_, end)| *end > 0);
    let (mut records, deadline) = (Vec::new(), Instant::now() + PATIENCE);

    while !missing.is_empty() {
        ensure!(
            Instant::now() < deadline,
            "the records of {topic} do not come: {missing:?}"
        );

        if let Some(Ok(message)) = client.poll(Duration::from_millis(100)) {
            missing.retain(|(partition, end)| {
                *partition != message.partition() || message.offset() + 1 < *end
            });
            records.push(message.detach());
        }
    }

    Ok(records)
}

/// The number of records in the topic that the group has not committed.
///
/// # Errors
/// When Kafka does not answer.
pub fn lag(bootstrap_servers: &str, group: &str, topic: &str) -> anyhow::Result<i64> {
    let client = client(bootstrap_servers, group)?;
    let ends = ends(&client, topic)?;

    let mut asked = TopicPartitionList::new();
    for (partition, _) in &ends {
        asked.add_partition(topic, *partition);
    }
    let committed = client.committed_offsets(asked, REQUEST)?;

    let behind = ends.iter().map(|(partition, end)| {
        let found = committed
            .find_partition(topic, *partition)
            .map(|element| element.offset());
        if let Some(Offset::Offset(offset)) = found {
            end - offset
        } else {
            *end
        }
    });

    Ok(behind.sum())
}

/// Deletes the topics.
///
/// # Errors
/// When Kafka does not answer.
pub async fn delete(bootstrap_servers: &str, topics: &[&str]) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("log_level", "0")
        .create()?;

    admin
        .delete_topics(
            topics,
            &AdminOptions::new().operation_timeout(Some(REQUEST)),
        )
        .await?;
    Ok(())
}
