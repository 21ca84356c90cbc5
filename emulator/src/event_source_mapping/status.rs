//! What a mapping knows of its own work, for reports on its health.
//!
//! It is updated per batch, per look at Kafka and per turn of the reading thread, never per record.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use super::batch::Batch;
use super::report::{InFlight, Partition, ReaderReport, Report, Trouble};
use crate::template::EventSourceMapping;

/// The state of one mapping.
#[derive(Debug)]
pub(crate) struct Status {
    id: String,
    function: String,
    topic: String,
    group: String,
    /// When the reading thread last took its turn, in milliseconds since 1970. 0 before its first
    /// turn.
    turn: AtomicI64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    reader: ReaderReport,
    partitions: BTreeMap<i32, Partition>,
    /// The batch of each lane that has one.
    in_flight: BTreeMap<usize, InFlight>,
    last_failure: Option<Trouble>,
    last_kafka_error: Option<Trouble>,
}

impl Status {
    pub(crate) fn new(definition: &EventSourceMapping) -> Self {
        Self {
            id: definition.id.clone(),
            function: definition.function.clone(),
            topic: definition.topic.clone(),
            group: definition.consumer_group.clone(),
            turn: AtomicI64::new(0),
            state: Mutex::new(State {
                reader: ReaderReport::starting(Utc::now()),
                partitions: BTreeMap::new(),
                in_flight: BTreeMap::new(),
                last_failure: None,
                last_kafka_error: None,
            }),
        }
    }

    /// The status of a mapping that does nothing.
    #[cfg(test)]
    pub(super) fn of(id: &str) -> Self {
        Self::new(&EventSourceMapping {
            id: id.to_owned(),
            ..super::tests::definition()
        })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Returns the whole state as it is now.
    pub(crate) fn report(&self) -> Report {
        let state = self.state();
        let turn = Some(self.turn.load(Ordering::Relaxed)).filter(|turn| *turn > 0);

        Report {
            id: self.id.clone(),
            function: self.function.clone(),
            topic: self.topic.clone(),
            group: self.group.clone(),
            reader: ReaderReport {
                last_turn: turn.and_then(DateTime::from_timestamp_millis),
                ..state.reader.clone()
            },
            partitions: state.partitions.values().cloned().collect(),
            in_flight: state.in_flight.values().cloned().collect(),
            last_failure: state.last_failure.clone(),
            last_kafka_error: state.last_kafka_error.clone(),
        }
    }

    /// The reading thread has taken a turn.
    pub(super) fn turn(&self) {
        self.turn
            .store(Utc::now().timestamp_millis(), Ordering::Relaxed);
    }

    /// The reader ended, and its batches are no longer in flight.
    pub(super) fn reader_ended(&self, reason: String) {
        let mut state = self.state();
        state.reader.down_since.get_or_insert_with(Utc::now);
        state.reader.last_end = Some(Trouble::now(None, reason));
        state.in_flight.clear();
    }

    /// Another reader starts. It counts as down until it has joined the group.
    pub(super) fn reader_restarted(&self) {
        self.state().reader.restarts += 1;
        self.turn.store(0, Ordering::Relaxed);
    }

    /// The group has assigned its partitions, to this member or to others.
    pub(super) fn reader_joined(&self) {
        self.state().reader.down_since = None;
    }

    /// A lane delivers a batch to the function.
    pub(super) fn handed_over(&self, lane: usize, batch: &Batch) {
        let partitions = batch
            .partitions
            .iter()
            .map(|records| records.partition)
            .collect();

        let firsts = batch
            .partitions
            .iter()
            .filter_map(|records| records.records.first());
        let oldest = firsts
            .map(|record| record.timestamp)
            .filter(|time| *time >= 0)
            .min();

        let in_flight = InFlight {
            since: Utc::now(),
            partitions,
            records: batch.len(),
            oldest_record: oldest.and_then(DateTime::from_timestamp_millis),
        };

        self.state().in_flight.insert(lane, in_flight);
    }

    /// The batch of a lane is resolved, or this member no longer processes it.
    pub(super) fn let_go(&self, lane: usize) {
        self.state().in_flight.remove(&lane);
    }

    /// Records were not processed, or not sent to the on-failure destination.
    pub(super) fn failed(&self, partition: Option<i32>, reason: &str) {
        self.state().last_failure = Some(Trouble::now(partition, reason.to_owned()));
    }

    /// The Kafka client met an error.
    pub(super) fn kafka_failed(&self, reason: String) {
        self.state().last_kafka_error = Some(Trouble::now(None, reason));
    }

    /// Stores how Kafka sees the partitions that are held. Returns those whose position has not
    /// moved for long although there is more to read and the client met an error meanwhile, each
    /// with that error.
    pub(super) fn looked(&self, partitions: Vec<Partition>) -> Vec<Partition> {
        let mut state = self.state();
        state.reader.unanswered_since = None;

        let State {
            partitions: known,
            last_kafka_error,
            ..
        } = &mut *state;

        let before = std::mem::take(known);
        for mut partition in partitions {
            if let Some(before) = before.get(&partition.partition) {
                partition.goes_on_from(before, last_kafka_error.as_ref());
            }
            known.insert(partition.partition, partition);
        }

        known
            .values()
            .filter(|partition| partition.error.is_some())
            .cloned()
            .collect()
    }

    /// Kafka did not answer the last look.
    pub(super) fn unanswered(&self) {
        self.state()
            .reader
            .unanswered_since
            .get_or_insert_with(Utc::now);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_has_not_taken_a_turn_yet_does_not_stand_still() {
        let status = Status::of("averager-prices");
        let starting = status.report();
        assert_eq!(starting.reader.last_turn, None);
        assert_eq!(starting.troubles(Utc::now()), [] as [&str; 0]);

        status.turn();
        assert!(status.report().reader.last_turn.is_some());

        status.reader_ended("a panic".to_owned());
        status.reader_restarted();
        assert_eq!(status.report().reader.last_turn, None, "of the new reader");
    }
}
