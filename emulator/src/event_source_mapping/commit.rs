//! Commits the offsets of what is resolved, and never of anything behind an unresolved record.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use super::consumer::Consumer;
use super::delivery::Backoff;
use super::retry::RetryPlan;

/// Longest wait for Kafka once the emulator stops: an uncommitted batch is merely delivered again.
const AT_THE_END: Duration = Duration::from_millis(1_500);

/// How far each partition of a batch is committed.
#[derive(Debug)]
pub(super) struct Commits {
    /// Records from the start of the batch's partition, in the order of its partitions.
    counts: Vec<usize>,
}

impl Commits {
    pub(super) fn new(batch: &Batch) -> Self {
        Self { counts: vec![0; batch.partitions.len()] }
    }

    /// Commits what was resolved since the last time, and tries until that succeeds, the partitions are lost or the
    /// emulator stops.
    pub(super) async fn commit(
        &mut self,
        consumer: &Arc<Consumer>,
        batch: &Batch,
        plan: &RetryPlan,
        stop: &CancellationToken,
    ) {
        let mut backoff = Backoff::default();
        loop {
            let (offsets, counts) = self.due(consumer, batch, plan);
            if offsets.count() == 0 {
                return;
            }
            let attempt = commit_once(Arc::clone(consumer), offsets);
            let Some(committed) = until_the_end(stop, attempt).await else { return };
            let Err(error) = committed else {
                self.counts = counts;
                return;
            };
            consumer.context().complain(&error);
            if stop.run_until_cancelled(tokio::time::sleep(backoff.next())).await.is_none() {
                return;
            }
        }
    }

    /// The offsets to commit now, and the counts that they stand for.
    fn due(&self, consumer: &Consumer, batch: &Batch, plan: &RetryPlan) -> (TopicPartitionList, Vec<usize>) {
        let mut offsets = TopicPartitionList::new();
        let mut counts = self.counts.clone();
        let topic = consumer.context().topic();
        for ((records, range), count) in batch.ranges().zip(&mut counts) {
            let resolved = plan.first_unresolved(&range).unwrap_or(range.end) - range.start;
            if resolved == *count || !consumer.context().holds(records) {
                continue;
            }
            let Some(offset) = records.offset_after(resolved) else { continue };
            if offsets.add_partition_offset(topic, records.partition, Offset::Offset(offset)).is_ok() {
                *count = resolved;
            }
        }
        (offsets, counts)
    }
}

async fn commit_once(consumer: Arc<Consumer>, offsets: TopicPartitionList) -> Result<(), KafkaError> {
    let commit = tokio::task::spawn_blocking(move || consumer.commit(&offsets, CommitMode::Sync));
    // Only the end of the runtime keeps it from running.
    commit.await.unwrap_or(Ok(()))
}

/// Waits for Kafka; only a little while once the emulator stops, and then without a result.
pub(super) async fn until_the_end<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    let end = async {
        stop.cancelled().await;
        tokio::time::sleep(AT_THE_END).await;
    };
    tokio::select! {
        done = work => Some(done),
        () = end => None,
    }
}
