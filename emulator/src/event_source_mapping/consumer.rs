//! The Kafka consumer, and the partitions that it holds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::oneshot;

use super::Reader;
use super::batch::PartitionRecords;
use super::partitions::{lane_of, only};
use super::status::Status;
use crate::template::{EventSourceMapping, StartingPosition};

/// A consumer that knows which partitions it holds.
pub(super) type Consumer = BaseConsumer<Assignment>;

/// The same error is logged again after this long.
const REPEAT_COMPLAINT: Duration = Duration::from_secs(300);

/// Signals the first assignment of partitions, once.
pub(super) type Ready = Arc<Mutex<Option<oneshot::Sender<()>>>>;

/// Joins the group. Its partitions are assigned during the first polls.
pub(super) fn join(
    definition: &EventSourceMapping,
    reader: &Reader,
    ready: Ready,
    status: Arc<Status>,
) -> anyhow::Result<Consumer> {
    let reset = match definition.starting_position {
        StartingPosition::TrimHorizon => "earliest",
        StartingPosition::Latest => "latest",
    };

    let mut config = ClientConfig::new();
    if let Some(member) = &reader.member {
        config.set("group.instance.id", format!("{member}-{}", definition.id));
    }

    let consumer: Consumer = config
        .set("bootstrap.servers", &reader.bootstrap_servers)
        .set("group.id", &definition.consumer_group)
        .set("client.id", &definition.id)
        .set("auto.offset.reset", reset)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("allow.auto.create.topics", "false")
        // The group notices a killed member when its session ends. This is the shortest one that
        // brokers allow by default.
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "2000")
        // A topic that is created later is noticed within this time.
        .set("topic.metadata.refresh.interval.ms", "5000")
        .set("fetch.wait.max.ms", "20")
        .set("fetch.queue.backoff.ms", "5")
        // Otherwise a fetch may wait until Kafka has acknowledged a commit's packet.
        .set("socket.nagle.disable", "true")
        // Limits what is fetched ahead to a fraction of a second's work. The client holds more than
        // twice as much in memory.
        .set("queued.max.messages.kbytes", "4096")
        .set("fetch.max.bytes", "2097152")
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.timeout.ms", "10000")
        .create_with_context(Assignment::new(definition, ready, status))
        .context("cannot make the Kafka consumer")?;

    consumer
        .subscribe(&[&definition.topic])
        .context("cannot subscribe to the topic")?;
    Ok(consumer)
}

/// The partitions held, each under the epoch in which it was assigned.
#[derive(Debug)]
pub(super) struct Assignment {
    id: String,
    topic: String,
    /// The epoch of each partition that is held.
    held: Mutex<HashMap<i32, u64>>,
    /// Counts assignments and revocations.
    changes: AtomicU64,
    /// Which lanes are paused.
    paused: Mutex<Vec<bool>>,
    starting_position: StartingPosition,
    ready: Ready,
    status: Arc<Status>,
    /// The errors of the last [`REPEAT_COMPLAINT`], and when each was logged.
    complaints: Mutex<Vec<(RDKafkaErrorCode, Instant)>>,
}

impl Assignment {
    fn new(definition: &EventSourceMapping, ready: Ready, status: Arc<Status>) -> Self {
        Self {
            id: definition.id.clone(),
            topic: definition.topic.clone(),
            held: Mutex::default(),
            changes: AtomicU64::new(0),
            paused: Mutex::default(),
            starting_position: definition.starting_position,
            ready,
            status,
            complaints: Mutex::default(),
        }
    }

    /// Returns the topic that is read.
    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// Returns how often partitions were assigned or revoked.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Returns the epoch of a partition, if it is held.
    pub(super) fn epoch(&self, partition: i32) -> Option<u64> {
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&partition)
            .copied()
    }

    /// Whether the records' partition has been held ever since they were read.
    pub(super) fn holds(&self, records: &PartitionRecords) -> bool {
        self.epoch(records.partition) == Some(records.epoch)
    }

    /// Sets which lanes are paused. After a revocation, none is.
    pub(super) fn set_paused(&self, lanes: Vec<bool>) {
        *self.paused.lock().unwrap_or_else(PoisonError::into_inner) = lanes;
    }

    pub(super) fn is_paused(&self, partition: i32) -> bool {
        let lanes = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        lanes
            .get(lane_of(partition, lanes.len()))
            .is_some_and(|paused| *paused)
    }

    /// Returns where a partition with offsets from `low` to `high` is first read, if the group has
    /// committed none of it.
    pub(super) fn starts_at(&self, low: i64, high: i64) -> i64 {
        match self.starting_position {
            StartingPosition::TrimHorizon => low,
            StartingPosition::Latest => high,
        }
    }

    /// The reading thread took a turn of its loop.
    pub(super) fn turn(&self) {
        self.status.turn();
    }

    /// Adds an error to the status, and logs it unless it was logged recently.
    pub(super) fn complain(&self, error: &KafkaError) {
        self.complain_of(error, &error.to_string());
    }

    fn complain_of(&self, error: &KafkaError, detail: &str) {
        let Some(code) = error.rdkafka_error_code() else {
            return;
        };

        let reason = match code {
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
                "the topic does not exist"
            }
            _ => detail,
        };

        self.status.kafka_failed(reason.to_owned());
        if !self.was_told(code) {
            let Self { id, topic, .. } = self;
            tracing::warn!(id, topic, reason, "{id}: Kafka error on {topic}; retrying");
        }
    }

    /// Returns whether this error was logged recently. If not, notes that it is logged now.
    fn was_told(&self, code: RDKafkaErrorCode) -> bool {
        let mut complaints = self
            .complaints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        complaints.retain(|(_, when)| when.elapsed() < REPEAT_COMPLAINT);

        let told = complaints.iter().any(|(told, _)| *told == code);
        if !told {
            complaints.push((code, Instant::now()));
        }
        told
    }
}

impl ClientContext for Assignment {
    /// Receives every error that the client meets, also those that a poll returns afterwards. Only
    /// here does an error come with its details, such as the codec of a batch.
    fn error(&self, error: KafkaError, reason: &str) {
        if reason.is_empty() {
            self.complain(&error);
        } else {
            self.complain_of(&error, reason);
        }
    }
}

impl ConsumerContext for Assignment {
    /// Ends pauses while the partitions are still assigned, because the client keeps pauses from
    /// one assignment to the next.
    ///
    /// Once the partitions are assigned again, it is too late. Each pause, resume and start of a
    /// partition has a version, and the client drops one that a later one overtakes. Its own thread
    /// starts partitions some time after the assignment. A resume at that time may replace the
    /// start, or the start may replace the resume, and then the partition is never read again.
    fn pre_rebalance(&self, consumer: &Consumer, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(partitions) = rebalance else {
            return;
        };

        // All of them, not only those of paused lanes: the rebalance may have overtaken a resume.
        if let Err(error) = consumer.resume(&only(partitions, |_| true)) {
            self.complain(&error);
        }
        self.set_paused(Vec::new());

        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for element in partitions.elements() {
            held.remove(&element.partition());
        }
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// Neither pauses nor resumes anything, for the reason given at `pre_rebalance`.
    fn post_rebalance(&self, _consumer: &Consumer, rebalance: &Rebalance<'_>) {
        let Rebalance::Assign(partitions) = rebalance else {
            return;
        };

        let epoch = self.changes.fetch_add(1, Ordering::AcqRel) + 1;
        let held_now = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.extend(
                partitions
                    .elements()
                    .iter()
                    .map(|element| (element.partition(), epoch)),
            );
            held.len()
        };

        let Self { id, topic, .. } = self;
        tracing::info!(
            id,
            topic,
            partitions = held_now,
            "{id}: partitions of {topic} assigned"
        );

        self.status.reader_joined();
        if let Some(ready) = self
            .ready
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            let _gone = ready.send(());
        }
    }
}
