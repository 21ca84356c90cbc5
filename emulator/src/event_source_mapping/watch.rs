//! Periodically asks Kafka how far each partition is: its committed offset and its end.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use chrono::Utc;
use rdkafka::Offset;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;
use tokio_util::sync::CancellationToken;

use super::consumer::Consumer;
use super::report::Partition;
use super::status::Status;

/// Wait between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);
/// Timeout of one request.
const REQUEST: Duration = Duration::from_secs(2);
/// A partition that still cannot be read is logged again after this long.
const REPEAT: Duration = Duration::from_secs(300);

/// Looks until `reader_end`, or until the consumer is dropped.
pub(super) async fn run(
    consumer: Weak<Consumer>,
    status: Arc<Status>,
    reader_end: CancellationToken,
) {
    let mut told = HashMap::new();

    while reader_end
        .run_until_cancelled(tokio::time::sleep(BETWEEN_LOOKS))
        .await
        .is_some()
    {
        let Some(consumer) = consumer.upgrade() else {
            return;
        };

        // The requests block. Dropping the consumer blocks, too, if this is its last owner.
        let looked = tokio::task::spawn_blocking(move || look(&consumer)).await;
        let Ok(Ok(partitions)) = looked else {
            status.unanswered();
            continue;
        };

        for unread in status.looked(partitions) {
            tell(&status, &unread, &mut told);
        }
    }
}

/// Returns the state of each partition that is held.
fn look(consumer: &Consumer) -> KafkaResult<Vec<Partition>> {
    let held = consumer.assignment()?;
    if held.count() == 0 {
        return Ok(Vec::new());
    }

    let topic = consumer.context().topic();
    let positions = consumer.position()?;
    let committed = consumer.committed_offsets(held, REQUEST)?;

    let partitions = committed.elements().into_iter().map(|element| {
        let partition = element.partition();
        let (low, high_watermark) = consumer.fetch_watermarks(topic, partition, REQUEST)?;

        let position = positions
            .find_partition(topic, partition)
            .map(|found| found.offset());
        let committed = match element.offset() {
            Offset::Offset(offset) => offset,
            _ => consumer.context().starts_at(low, high_watermark),
        };
        let position = match position {
            Some(Offset::Offset(offset)) => offset,
            _ => committed,
        };

        let more = position < high_watermark && !consumer.context().is_paused(partition);
        Ok(Partition {
            partition,
            committed,
            position,
            high_watermark,
            lag: (high_watermark - committed).max(0),
            standing_since: more.then(Utc::now),
            error: None,
        })
    });
    partitions.collect()
}

/// Logs a partition that cannot be read, unless it was logged within [`REPEAT`].
fn tell(status: &Status, unread: &Partition, told: &mut HashMap<i32, Instant>) {
    let Partition {
        partition,
        position,
        high_watermark,
        error,
        ..
    } = unread;
    if told
        .get(partition)
        .is_some_and(|when| when.elapsed() < REPEAT)
    {
        return;
    }

    told.insert(*partition, Instant::now());
    let reason = error.as_ref().map(|error| error.reason.as_str());
    let id = status.id();
    tracing::error!(
        id,
        partition,
        offset = position,
        end = high_watermark,
        reason,
        "{id}: partition {partition} cannot be read; retrying"
    );
}
