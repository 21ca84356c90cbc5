//! The dead-letter topic: its records, and the progress of earlier runs.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use backon::{BlockingRetryable, ConstantBuilder};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::progress::Progress;
use super::{DeadLetterError, failed};
use crate::config::Kafka;
use crate::price_log::security;

/// The consumer group whose offsets record what was sent.
const GROUP: &str = "redrive";
/// Longest that one request to the brokers may take, and longest that they may send nothing while
/// records are left.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What requests are for, in errors.
const READING: &str = "cannot read the dead-letter topic";
const NOTING: &str = "Kafka did not note what was sent";
/// Pause between two attempts of a request.
const PAUSE: Duration = Duration::from_millis(250);

/// Reads the dead-letter topic, one partition after the other.
pub(super) struct Letters {
    consumer: BaseConsumer,
    topic: String,
}

/// The records of a partition that are left to read.
pub(super) struct Range {
    /// The offsets that are already done.
    pub(super) progress: Progress,
    /// The end of the partition when it was queried; later records are left to the next run.
    pub(super) end: i64,
}

impl Letters {
    pub(super) fn open(kafka: &Kafka) -> Result<Self, DeadLetterError> {
        let mut config = ClientConfig::new();
        security::apply(&kafka.security, &mut config);

        let consumer: BaseConsumer = config
            .set("bootstrap.servers", &kafka.bootstrap_servers)
            .set("group.id", GROUP)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("allow.auto.create.topics", "false")
            .set("auto.offset.reset", "earliest")
            .set("queued.max.messages.kbytes", "32768")
            .create()
            .map_err(failed("cannot make the Kafka consumer"))?;

        // Before any request: this client never requests a token itself.
        security::log_in(&kafka.security, consumer.client())?;

        Ok(Self {
            consumer,
            topic: kafka.dead_letter_topic.clone(),
        })
    }

    /// The ids of the topic's partitions.
    pub(super) fn partitions(&self) -> Result<Vec<i32>, DeadLetterError> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(&self.topic), TIMEOUT)
            .map_err(failed("Kafka does not answer"))?;

        let topic = metadata
            .topics()
            .iter()
            .find(|topic| topic.name() == self.topic);
        let partitions = topic.map_or(&[][..], MetadataTopic::partitions);
        if partitions.is_empty() {
            return Err(DeadLetterError::NoTopic(self.topic.clone()));
        }

        Ok(partitions.iter().map(MetadataPartition::id).collect())
    }

    /// The part of a partition that is left to do.
    pub(super) fn range(&self, partition: i32) -> Result<Range, DeadLetterError> {
        let (low, end) = patiently(|| {
            self.consumer
                .fetch_watermarks(&self.topic, partition, TIMEOUT)
        })
        .map_err(failed("Kafka does not tell what the topic holds"))?;

        let mut asked = TopicPartitionList::new();
        asked.add_partition(&self.topic, partition);
        let committed = patiently(|| self.consumer.committed_offsets(asked.clone(), TIMEOUT))
            .map_err(failed("Kafka does not tell what was sent before"))?;

        let elements = committed.elements();
        let progress = elements.first().and_then(|element| match element.offset() {
            // An offset past the end belongs to a deleted topic of this name.
            Offset::Offset(next) if (low..=end).contains(&next) => {
                Some(Progress::read(next, element.metadata()))
            }
            _ => None,
        });

        Ok(Range {
            progress: progress.unwrap_or_else(|| Progress::from(low)),
            end,
        })
    }

    /// Passes every record of the range to `each`, whether done or not, until `each` fails or
    /// breaks off.
    pub(super) fn read(
        &self,
        partition: i32,
        range: &Range,
        mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<ControlFlow<()>, DeadLetterError>,
    ) -> Result<(), DeadLetterError> {
        let next = range.progress.next();
        if next >= range.end {
            return Ok(());
        }

        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(&self.topic, partition, Offset::Offset(next))
            .and_then(|()| self.consumer.assign(&assignment))
            .map_err(failed(READING))?;

        loop {
            match self.consumer.poll(TIMEOUT) {
                Some(Ok(message)) => {
                    if message.offset() < range.end && each(&message)?.is_break() {
                        return Ok(());
                    }
                    if message.offset() + 1 >= range.end {
                        return Ok(());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) => return Err(failed(READING)(error)),
                None => return Err(DeadLetterError::Silent(TIMEOUT.as_secs())),
            }
        }
    }

    /// Commits how far the partition is done.
    pub(super) fn commit(
        &self,
        partition: i32,
        progress: &Progress,
    ) -> Result<(), DeadLetterError> {
        let mut offsets = TopicPartitionList::new();
        let mut offset = offsets.add_partition(&self.topic, partition);
        offset
            .set_offset(Offset::Offset(progress.next()))
            .map_err(failed(NOTING))?;
        offset.set_metadata(progress.metadata());

        patiently(|| self.consumer.commit(&offsets, CommitMode::Sync)).map_err(failed(NOTING))
    }
}

/// Retries for a while: a broker that has just started, or a new group, has no coordinator yet.
fn patiently<T>(request: impl FnMut() -> Result<T, KafkaError>) -> Result<T, KafkaError> {
    let deadline = Instant::now() + TIMEOUT;
    let pauses = ConstantBuilder::default()
        .with_delay(PAUSE)
        .without_max_times();

    request
        .retry(pauses)
        .when(|_| Instant::now() < deadline)
        .call()
}
