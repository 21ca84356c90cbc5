//! How far the averager is behind: the offsets that its consumer group has committed, compared with
//! the ends of the topic's partitions.
//!
//! The group is only queried, not joined, so its state does not change. The age of the oldest
//! record that is not averaged yet is read from that record itself: no request for it is supported
//! by all brokers.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::DateTime;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, Context};
use super::{PublishError, security};
use crate::config::Kafka;
use crate::market::Timestamp;

/// Most partitions that are queried.
const MAX_PARTITIONS: usize = 256;

/// The records of a partition that are not averaged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionBacklog {
    /// The partition.
    pub partition: i32,
    /// The number of these records.
    pub records: i64,
    /// Kafka's timestamp of the oldest of them; `None` if there are none, or if it could not be
    /// read in time.
    pub oldest: Option<Timestamp>,
}

/// Measures how far a reader of the price topic is behind.
#[async_trait]
pub trait Backlog: fmt::Debug + Send + Sync {
    /// Each partition's backlog, in order of partition, within `timeout`.
    ///
    /// # Errors
    /// When Kafka does not answer, or does not have the topic.
    async fn read(&self, timeout: Duration) -> Result<Vec<PartitionBacklog>, PublishError>;
}

/// The backlog of a consumer group on Kafka. The client is created at the first use.
pub struct KafkaBacklog {
    kafka: Kafka,
    topic: String,
    group: String,
    consumer: Arc<Mutex<Option<GroupObserver>>>,
}

type GroupObserver = BaseConsumer<Context>;

impl KafkaBacklog {
    /// The records of `topic` that `group` has not committed yet.
    #[must_use]
    pub fn new(kafka: &Kafka, topic: &str, group: &str) -> Self {
        let (topic, group) = (topic.to_owned(), group.to_owned());
        Self {
            kafka: kafka.clone(),
            topic,
            group,
            consumer: Arc::default(),
        }
    }
}

impl fmt::Debug for KafkaBacklog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaBacklog")
            .field("topic", &self.topic)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Backlog for KafkaBacklog {
    async fn read(&self, timeout: Duration) -> Result<Vec<PartitionBacklog>, PublishError> {
        let deadline = Instant::now() + timeout;

        let (kafka, topic, group) = (self.kafka.clone(), self.topic.clone(), self.group.clone());
        let slot = Arc::clone(&self.consumer);

        let asked = tokio::task::spawn_blocking(move || {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let consumer = match &mut *slot {
                Some(consumer) => consumer,
                None => slot
                    .insert(observer(&kafka, &group).map_err(|error| client::unavailable(&error))?),
            };
            // Logged in before any request: a client that is not polled never asks for a token.
            security::log_in(&kafka.security, consumer.client())?;

            let partitions = partitions(consumer, &topic, deadline)?;
            backlog(consumer, &topic, &partitions, deadline)
                .map_err(|error| client::unavailable(&error))
        });

        asked
            .await
            .unwrap_or_else(|error| Err(PublishError::Unavailable(error.to_string())))
    }
}

fn observer(kafka: &Kafka, group: &str) -> KafkaResult<GroupObserver> {
    let mut config = client::config(kafka);
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        // A transaction's marker may follow the last record; it is not a record.
        .set("enable.partition.eof", "true")
        // Only one record of each partition is needed. A broker sends at least one batch, however
        // small the limit.
        .set("fetch.message.max.bytes", "1024")
        .set("queued.min.messages", "1")
        .set("fetch.wait.max.ms", "100")
        .set("socket.timeout.ms", "3000");

    BaseConsumer::from_config_and_context(&config, Context::new(&kafka.security))
}

fn remaining(deadline: Instant) -> Duration {
    // Some calls take zero as unlimited.
    deadline
        .saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1))
}

fn partitions(
    consumer: &GroupObserver,
    topic: &str,
    deadline: Instant,
) -> Result<TopicPartitionList, PublishError> {
    let metadata = consumer.fetch_metadata(Some(topic), remaining(deadline));
    let metadata = metadata.map_err(|error| client::unavailable(&error))?;
    let found = client::existing(&metadata, topic)
        .ok_or_else(|| PublishError::NoTopic(topic.to_owned()))?;

    let mut partitions = TopicPartitionList::new();
    for partition in found.partitions().iter().take(MAX_PARTITIONS) {
        partitions.add_partition(topic, partition.id());
    }

    Ok(partitions)
}

fn backlog(
    consumer: &GroupObserver,
    topic: &str,
    partitions: &TopicPartitionList,
    deadline: Instant,
) -> KafkaResult<Vec<PartitionBacklog>> {
    let committed = consumer.committed_offsets(partitions.clone(), remaining(deadline))?;

    let (mut backlog, mut behind) = (Vec::new(), TopicPartitionList::new());
    for element in committed.elements_for_topic(topic) {
        let partition = element.partition();
        let (first, end) = consumer.fetch_watermarks(topic, partition, remaining(deadline))?;
        // Without a valid offset, the group starts with the oldest record.
        let next = match element.offset() {
            Offset::Offset(offset) if (first..=end).contains(&offset) => offset,
            _ => first,
        };

        if next < end {
            behind.add_partition_offset(topic, partition, Offset::Offset(next))?;
        }
        backlog.push(PartitionBacklog {
            partition,
            records: end - next,
            oldest: None,
        });
    }

    backlog.sort_by_key(|of| of.partition);
    if behind.count() > 0 {
        consumer.assign(&behind)?;
        read_oldest(consumer, behind.count(), &mut backlog, deadline);
        consumer.unassign()?;
    }

    Ok(backlog)
}

/// Reads the first record of each of the `wanted` assigned partitions, as far as they arrive in
/// time.
fn read_oldest(
    consumer: &GroupObserver,
    mut wanted: usize,
    backlog: &mut [PartitionBacklog],
    deadline: Instant,
) {
    let mut read = Vec::new();
    while wanted > 0 && Instant::now() < deadline {
        let (partition, oldest) = match consumer.poll(remaining(deadline)) {
            Some(Ok(record)) => (record.partition(), record.timestamp().to_millis()),
            Some(Err(KafkaError::PartitionEOF(partition))) => (partition, None),
            Some(Err(error)) => {
                tracing::debug!(%error, "the oldest record of a backlog was not read");
                continue;
            }
            None => return,
        };

        if read.contains(&partition) {
            continue;
        }
        read.push(partition);
        wanted -= 1;

        if let Some(of) = backlog.iter_mut().find(|of| of.partition == partition) {
            match oldest {
                Some(milliseconds) => of.oldest = DateTime::from_timestamp_millis(milliseconds),
                // Only a transaction's markers are left there.
                None => of.records = 0,
            }
        }
    }
}

#[cfg(test)]
mod tests;
