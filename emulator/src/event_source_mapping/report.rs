//! The state of a mapping for reports, and what of it means that events are not being averaged.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// What lasts no longer than this is normal: functions start, groups are joined, and batches are
/// retried.
const PATIENCE: TimeDelta = TimeDelta::seconds(30);
/// The client repeats an error that keeps it from reading a partition more often than this.
const REPEATED: TimeDelta = TimeDelta::seconds(15);
/// A partition whose position has not moved for this long, while the client meets errors, cannot be
/// read.
const STANDING: TimeDelta = TimeDelta::seconds(10);

/// A mapping's state.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Report {
    pub(crate) id: String,
    pub(crate) function: String,
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) reader: ReaderReport,
    /// The partitions that this emulator holds.
    pub(crate) partitions: Vec<Partition>,
    /// The batches that the function processes, or that are being retried.
    pub(crate) in_flight: Vec<InFlight>,
    /// The last time that records were not processed.
    pub(crate) last_failure: Option<Trouble>,
    /// The last error of the Kafka client.
    pub(crate) last_kafka_error: Option<Trouble>,
}

/// The thread that reads the topic, and its membership in the group.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct ReaderReport {
    /// Since when no reader is a member of the group. `None` while one is.
    pub(crate) down_since: Option<DateTime<Utc>>,
    /// How often the reader was replaced by another one.
    pub(crate) restarts: u64,
    /// Why the last reader ended.
    pub(crate) last_end: Option<Trouble>,
    /// When the reader last looked for records.
    pub(crate) last_turn: Option<DateTime<Utc>>,
    /// Since when Kafka has not answered how far the partitions are. `None` while it answers.
    pub(crate) unanswered_since: Option<DateTime<Utc>>,
}

/// A partition, as Kafka and the consumer see it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Partition {
    pub(crate) partition: i32,
    /// The first offset that is not resolved.
    pub(crate) committed: i64,
    /// The offset to be read next.
    pub(crate) position: i64,
    /// The offset of the next record that will be written.
    pub(crate) high_watermark: i64,
    /// Records that are not resolved.
    pub(crate) lag: i64,
    /// Since when the position has not moved although there is more to read. `None` while it moves,
    /// or while reading waits for the function.
    pub(crate) standing_since: Option<DateTime<Utc>>,
    /// What keeps it from being read.
    pub(crate) error: Option<Trouble>,
}

/// A batch that is not resolved.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct InFlight {
    pub(crate) since: DateTime<Utc>,
    pub(crate) partitions: Vec<i32>,
    pub(crate) records: usize,
    /// Kafka's time of its oldest record.
    pub(crate) oldest_record: Option<DateTime<Utc>>,
}

/// An error, and when it was met.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Trouble {
    pub(crate) at: DateTime<Utc>,
    pub(crate) partition: Option<i32>,
    pub(crate) reason: String,
}

impl Trouble {
    pub(super) fn now(partition: Option<i32>, reason: String) -> Self {
        Self {
            at: Utc::now(),
            partition,
            reason,
        }
    }
}

impl ReaderReport {
    pub(super) fn starting(now: DateTime<Utc>) -> Self {
        Self {
            down_since: Some(now),
            restarts: 0,
            last_end: None,
            last_turn: None,
            unanswered_since: None,
        }
    }
}

impl Partition {
    /// Takes over from the last look since when the position has not moved. If that is long ago and
    /// the client met an error recently, stores the error.
    pub(super) fn goes_on_from(&mut self, before: &Self, trouble: Option<&Trouble>) {
        let stands = self.standing_since.is_some() && self.position == before.position;
        if !stands {
            return;
        }

        let Some(since) = before.standing_since else {
            return;
        };

        self.standing_since = Some(since);
        let now = Utc::now();
        let recent =
            trouble.filter(|trouble| now - trouble.at < REPEATED && now - since > STANDING);
        self.error = recent.map(|trouble| Trouble {
            partition: Some(self.partition),
            ..trouble.clone()
        });
    }
}

impl Report {
    /// Returns why events are not being averaged, in words. Empty while they are.
    pub(crate) fn troubles(&self, now: DateTime<Utc>) -> Vec<String> {
        let long =
            |since: DateTime<Utc>| (now - since > PATIENCE).then(|| (now - since).num_seconds());

        let reader = self.reader_trouble(long);
        let in_flight = self
            .in_flight
            .iter()
            .filter_map(|batch| self.batch_trouble(batch, long));
        let partitions = self
            .partitions
            .iter()
            .filter_map(|partition| self.partition_trouble(partition, long));

        reader
            .into_iter()
            .chain(in_flight)
            .chain(partitions)
            .collect()
    }

    fn reader_trouble(&self, long: impl Fn(DateTime<Utc>) -> Option<i64>) -> Option<String> {
        let Self { topic, reader, .. } = self;
        let because = |error: &Option<Trouble>| {
            error
                .as_ref()
                .map_or(String::new(), |error| format!(": {}", error.reason))
        };

        if let Some(seconds) = reader.down_since.and_then(&long) {
            let end = because(&reader.last_end);
            return Some(format!("{topic} has not been read for {seconds} s{end}"));
        }
        if let Some(seconds) = reader.last_turn.and_then(&long) {
            return Some(format!(
                "the thread that reads {topic} has stood still for {seconds} s"
            ));
        }
        let seconds = reader.unanswered_since.and_then(&long)?;
        let error = because(&self.last_kafka_error);
        Some(format!("Kafka has not answered for {seconds} s{error}"))
    }

    fn batch_trouble(
        &self,
        batch: &InFlight,
        long: impl Fn(DateTime<Utc>) -> Option<i64>,
    ) -> Option<String> {
        let InFlight {
            since,
            partitions,
            records,
            ..
        } = batch;
        let seconds = long(*since)?;

        let failure = self
            .last_failure
            .as_ref()
            .filter(|failure| failure.at >= *since);
        let failure = failure.map_or(String::new(), |failure| format!(": {}", failure.reason));
        let function = &self.function;
        Some(format!(
            "{function} has not processed {records} records of partitions {partitions:?} for {seconds} s{failure}"
        ))
    }

    fn partition_trouble(
        &self,
        of: &Partition,
        long: impl Fn(DateTime<Utc>) -> Option<i64>,
    ) -> Option<String> {
        let Partition {
            partition,
            position,
            high_watermark,
            standing_since,
            error,
            ..
        } = of;
        let seconds = standing_since.and_then(long)?;
        let reason = &error.as_ref()?.reason;

        let topic = &self.topic;
        Some(format!(
            "partition {partition} of {topic} has not been read beyond offset {position} of {high_watermark} for \
             {seconds} s: {reason}"
        ))
    }

    /// Returns how many records are not resolved, in all partitions that are held.
    pub(crate) fn lag(&self) -> i64 {
        self.partitions.iter().map(|partition| partition.lag).sum()
    }

    /// Returns Kafka's time of the oldest record in flight.
    pub(crate) fn oldest_record(&self) -> Option<DateTime<Utc>> {
        self.in_flight
            .iter()
            .filter_map(|batch| batch.oldest_record)
            .min()
    }
}

#[cfg(test)]
mod tests;
