//! When the records of each batch were read, invoked with and answered, for those who look for
//! where events wait. Nothing is noted unless `RUST_LOG` selects this module at `trace`.

use chrono::Utc;

use super::batch::Batch;

/// Whether times are wanted.
pub(super) fn is_wanted() -> bool {
    tracing::enabled!(tracing::Level::TRACE)
}

/// Microseconds since 1970, or 0 if times are not wanted.
pub(super) fn now() -> i64 {
    if is_wanted() {
        Utc::now().timestamp_micros()
    } else {
        0
    }
}

/// Logs the times of a batch that was invoked with at `invoked` and is resolved now: a line for
/// each partition, with the time at which each of its records was read.
pub(super) fn tell(batch: &Batch, invoked: i64) {
    if !is_wanted() {
        return;
    }

    for records in &batch.partitions {
        let times: Vec<String> = records
            .records
            .iter()
            .map(|record| record.read_at.to_string())
            .collect();

        tracing::trace!(
            partition = records.partition,
            first = records.records.first().map(|record| record.offset),
            invoked,
            answered = now(),
            read = times.join(","),
            "batch times"
        );
    }
}
