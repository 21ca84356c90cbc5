//! The Kafka consumer and what it holds at present.

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

/// The same trouble is told again after this long.
const REPEAT_COMPLAINT: Duration = Duration::from_secs(300);

/// Who waits for the first partitions, if anybody still does.
pub(super) type Ready = Arc<Mutex<Option<oneshot::Sender<()>>>>;

/// Joins the group; partitions come with the first polls.
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
        // The group notices a killed member after the session: the shortest that brokers take by default.
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "2000")
        // A topic that is made later is seen within this long.
        .set("topic.metadata.refresh.interval.ms", "5000")
        .set("fetch.wait.max.ms", "20")
        .set("fetch.queue.backoff.ms", "5")
        // What is fetched ahead: a fraction of a second's work. The client holds more than twice as much memory for it.
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
    held: Mutex<HashMap<i32, u64>>,
    changes: AtomicU64,
    /// Which lanes are paused.
    paused: Mutex<Vec<bool>>,
    starting_position: StartingPosition,
    ready: Ready,
    status: Arc<Status>,
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

    /// The topic that is read.
    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// How often partitions were assigned or revoked.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// The epoch of a partition that is held.
    pub(super) fn epoch(&self, partition: i32) -> Option<u64> {
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&partition)
            .copied()
    }

    /// Whether the records' partition was held ever since they were read.
    pub(super) fn holds(&self, records: &PartitionRecords) -> bool {
        self.epoch(records.partition) == Some(records.epoch)
    }

    /// Says which lanes are paused; after a revocation none is.
    pub(super) fn set_paused(&self, lanes: Vec<bool>) {
        *self.paused.lock().unwrap_or_else(PoisonError::into_inner) = lanes;
    }

    pub(super) fn is_paused(&self, partition: i32) -> bool {
        let lanes = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        lanes
            .get(lane_of(partition, lanes.len()))
            .is_some_and(|paused| *paused)
    }

    /// Where a partition that lies between these offsets is read from, when the group has committed none of it.
    pub(super) fn starts_at(&self, low: i64, high: i64) -> i64 {
        match self.starting_position {
            StartingPosition::TrimHorizon => low,
            StartingPosition::Latest => high,
        }
    }

    /// The reading thread has taken a turn.
    pub(super) fn turn(&self) {
        self.status.turn();
    }

    /// Tells of trouble once, not each time that the client meets it.
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
            tracing::warn!(
                id,
                topic,
                reason,
                "trouble with Kafka; going on when it is over"
            );
        }
    }

    /// Whether this trouble was told not long ago; if not, it is now.
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
    /// Told of all that the client meets, before a poll gives it, too; only here with what it is about, as the codec
    /// of a batch.
    fn error(&self, error: KafkaError, reason: &str) {
        if reason.is_empty() {
            self.complain(&error);
        } else {
            self.complain_of(&error, reason);
        }
    }
}

impl ConsumerContext for Assignment {
    /// Ends pauses while the partitions are still assigned: the client keeps them from one assignment to the next.
    ///
    /// Once they are assigned again is too late. Each pause, resume and start of a partition has a version, and the client
    /// drops one that is overtaken by a later one. Its own thread starts partitions some time after the assignment: a
    /// resume at that time takes the place of the start, or the start that of the resume, and nothing is read for ever.
    fn pre_rebalance(&self, consumer: &Consumer, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(partitions) = rebalance else {
            return;
        };
        // All of them, not only the paused lanes': a resume may have been overtaken by the rebalance.
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

    /// Pauses and resumes nothing: see above.
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
        tracing::info!(
            id = self.id,
            topic = self.topic,
            partitions = held_now,
            "partitions assigned"
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
