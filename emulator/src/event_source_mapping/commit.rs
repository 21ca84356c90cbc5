//! Commits the offsets of what is resolved, and never of anything behind an unresolved record.
//!
//! Committing goes on beside the invocations: a batch need not wait until Kafka has noted the one before it. What is
//! noted while a commit is under way goes with the next one. Until then it is merely delivered again after a crash.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use super::consumer::Consumer;
use super::retry::Backoff;
use super::retry::RetryPlan;

/// Longest wait for Kafka once the emulator stops: an uncommitted batch is merely delivered again.
const AT_THE_END: Duration = Duration::from_millis(1_500);
/// A commit that took longer than this is made again: librdkafka may forget one whose broker goes away. Should it come to
/// pass after all, behind a later one, records are merely delivered again.
const LONGEST: Duration = Duration::from_secs(60);
/// From one commit to the next: each costs Kafka a write.
const BETWEEN_COMMITS: Duration = Duration::from_millis(20);

/// For each partition the epoch of its assignment, and the offset to commit.
type Offsets = HashMap<i32, (u64, i64)>;

/// Commits offsets as they are noted.
pub(super) struct Committer {
    consumer: Arc<Consumer>,
    due: Mutex<Offsets>,
    noted: Notify,
}

impl Committer {
    pub(super) fn new(consumer: Arc<Consumer>) -> Self {
        Self {
            consumer,
            due: Mutex::default(),
            noted: Notify::new(),
        }
    }

    /// Notes how far each partition of the batch is resolved.
    pub(super) fn note(&self, batch: &Batch, plan: &RetryPlan) {
        let resolved = batch.ranges().filter_map(|(records, range)| {
            let resolved = plan.first_unresolved(&range).unwrap_or(range.end) - range.start;
            Some((
                records.partition,
                (records.epoch, records.offset_after(resolved)?),
            ))
        });
        self.add(resolved.collect());
        self.noted.notify_one();
    }

    /// Commits until all work is done, and then what is still due.
    pub(super) async fn run(&self, done: &CancellationToken, stop: &CancellationToken) {
        while done
            .run_until_cancelled(self.noted.notified())
            .await
            .is_some()
        {
            self.commit(stop).await;
            done.run_until_cancelled(tokio::time::sleep(BETWEEN_COMMITS))
                .await;
        }
        self.commit(stop).await;
    }

    /// Tries until that succeeds, the partitions are lost or the emulator stops.
    async fn commit(&self, stop: &CancellationToken) {
        let mut backoff = Backoff::default();
        loop {
            let due = mem::take(&mut *self.due.lock().unwrap_or_else(PoisonError::into_inner));
            let attempt = commit_once(Arc::clone(&self.consumer), self.held(&due));
            let Some(committed) = until_the_end(stop, attempt).await else {
                return;
            };
            let Err(error) = committed else { return };
            self.consumer.context().complain(&error);
            self.add(due);
            if stop
                .run_until_cancelled(tokio::time::sleep(backoff.next()))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    /// Keeps, for each partition, what was resolved last.
    fn add(&self, offsets: Offsets) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        for (partition, offset) in offsets {
            let kept = due.entry(partition).or_insert(offset);
            *kept = offset.max(*kept);
        }
    }

    /// Those of partitions that are still held. One that is lost right after this may be committed all the same, behind
    /// its next owner's back: that repeats records, and loses none.
    fn held(&self, due: &Offsets) -> TopicPartitionList {
        let assignment = self.consumer.context();
        let mut offsets = TopicPartitionList::new();
        for (partition, (epoch, offset)) in due {
            if assignment.epoch(*partition) == Some(*epoch) {
                // It fails for offsets below zero, which none is.
                let _added = offsets.add_partition_offset(
                    assignment.topic(),
                    *partition,
                    Offset::Offset(*offset),
                );
            }
        }
        offsets
    }
}

async fn commit_once(
    consumer: Arc<Consumer>,
    offsets: TopicPartitionList,
) -> Result<(), KafkaError> {
    if offsets.count() == 0 {
        return Ok(());
    }
    let (answer, answered) = oneshot::channel();
    // A thread of its own, since the call may never return: a runtime would wait for it at its end.
    let commit = move || answer.send(consumer.commit(&offsets, CommitMode::Sync));
    // One that is not started drops its end of the channel.
    let _started = thread::Builder::new()
        .name("commit".to_owned())
        .spawn(commit);
    match tokio::time::timeout(LONGEST, answered).await {
        Ok(Ok(committed)) => committed,
        _ => Err(KafkaError::ConsumerCommit(
            RDKafkaErrorCode::OperationTimedOut,
        )),
    }
}

/// Waits for Kafka; only a little while once the emulator stops, and then without a result.
pub(super) async fn until_the_end<T>(
    stop: &CancellationToken,
    work: impl Future<Output = T>,
) -> Option<T> {
    let end = async {
        stop.cancelled().await;
        tokio::time::sleep(AT_THE_END).await;
    };
    tokio::select! {
        done = work => Some(done),
        () = end => None,
    }
}
