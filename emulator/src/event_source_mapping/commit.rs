//! Commits the offsets of resolved records, and never beyond an unresolved one.
//!
//! Commits run beside the invocations: no batch waits until Kafka has stored the offsets of the one
//! before it. Offsets noted during a commit go with the next one. After a crash before that, their
//! records are delivered again.

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

/// Longest wait for Kafka once the reader ends. An uncommitted batch is delivered again.
const AT_THE_END: Duration = Duration::from_millis(1_500);
/// A commit that takes longer is repeated: librdkafka may forget one whose broker disconnects. If
/// it takes effect after a later one nevertheless, records are delivered again.
const LONGEST: Duration = Duration::from_secs(60);
/// Pause between two commits, because each costs Kafka a write.
const BETWEEN_COMMITS: Duration = Duration::from_millis(20);

/// For each partition, the epoch of its assignment and the offset to commit.
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
        // The committer looks only when notified, so the offsets must be there before.
        self.noted.notify_one();
    }

    /// Commits what is noted until `lanes_end`, and then what is still due.
    pub(super) async fn run(&self, lanes_end: &CancellationToken, reader_end: &CancellationToken) {
        while lanes_end
            .run_until_cancelled(self.noted.notified())
            .await
            .is_some()
        {
            self.commit(reader_end).await;
            lanes_end
                .run_until_cancelled(tokio::time::sleep(BETWEEN_COMMITS))
                .await;
        }

        self.commit(reader_end).await;
    }

    /// Repeats the commit until it succeeds, the partitions are lost or the reader ends.
    async fn commit(&self, reader_end: &CancellationToken) {
        let mut backoff = Backoff::default();
        loop {
            let due = mem::take(&mut *self.due.lock().unwrap_or_else(PoisonError::into_inner));
            let attempt = commit_once(Arc::clone(&self.consumer), self.held(&due));
            let Some(committed) = until_the_end(reader_end, attempt).await else {
                return;
            };
            let Err(error) = committed else { return };

            self.consumer.context().complain(&error);
            self.add(due);
            if reader_end
                .run_until_cancelled(tokio::time::sleep(backoff.next()))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    /// Keeps the greatest offset of each partition. One of a newer epoch replaces an older one's.
    fn add(&self, offsets: Offsets) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        for (partition, offset) in offsets {
            let kept = due.entry(partition).or_insert(offset);
            *kept = offset.max(*kept);
        }
    }

    /// Returns the offsets of partitions that are still held. A partition that is lost right after
    /// this check may be committed nevertheless, over its next owner's offset. That repeats records
    /// and loses none.
    fn held(&self, due: &Offsets) -> TopicPartitionList {
        let assignment = self.consumer.context();
        let mut offsets = TopicPartitionList::new();

        for (partition, (epoch, offset)) in due {
            if assignment.epoch(*partition) == Some(*epoch) {
                // Fails only for a negative offset, which no record has.
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

/// Commits once. Returns an error if Kafka has not answered within `LONGEST`.
async fn commit_once(
    consumer: Arc<Consumer>,
    offsets: TopicPartitionList,
) -> Result<(), KafkaError> {
    if offsets.count() == 0 {
        return Ok(());
    }

    let (answer, answered) = oneshot::channel();

    // The call may never return, so it gets a thread that the runtime does not wait for at its end.
    let commit = move || answer.send(consumer.commit(&offsets, CommitMode::Sync));
    // If the thread cannot be started, the sender is dropped and `answered` fails at once.
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

/// Waits for `work`. After `reader_end`, waits at most [`AT_THE_END`] longer, then returns `None`.
pub(super) async fn until_the_end<T>(
    reader_end: &CancellationToken,
    work: impl Future<Output = T>,
) -> Option<T> {
    let too_late = async {
        reader_end.cancelled().await;
        tokio::time::sleep(AT_THE_END).await;
    };

    tokio::select! {
        done = work => Some(done),
        () = too_late => None,
    }
}
