//! Growth: partitions made ahead of need, and what is older than its retention dropped.
//!
//! Rejected events are kept: they are the only trace of what they were, and someone should look at them.

use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use chrono::TimeDelta;
use shared::config::Retention;
use shared::market::Timestamp;
use shared::repository::partitions::{self, PRICE_POINTS, PartitionedTable, RAW_RESPONSES};
use shared::repository::{self, polling_runs};
use sqlx::PgPool;

/// How often a table's lock is tried; each try takes a second at most, and writers go on in the pauses.
const TRIES: usize = 10;
/// Pause between the tries.
const PAUSE: Duration = Duration::from_secs(1);

/// What was made and what was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Partitions made ahead of need.
    pub partitions_made: usize,
    /// Partitions dropped for their age.
    pub partitions_dropped: usize,
    /// Runs deleted for their age.
    pub runs_deleted: u64,
}

/// Makes the partitions that will be needed after `now`, and drops what was kept for long enough.
///
/// # Errors
/// When Postgres is away, or a table was too busy to be locked; what was done stays so, and the next one goes on.
pub async fn trim(
    pool: &PgPool,
    retention: &Retention,
    now: Timestamp,
) -> Result<Trimmed, repository::Error> {
    let mut trimmed = Trimmed::default();
    for table in [PRICE_POINTS, RAW_RESPONSES] {
        trimmed.partitions_made += patiently(|| partitions::make_ahead(pool, table, now)).await?;
    }
    let drops: [(PartitionedTable, Option<u32>); 2] =
        [(PRICE_POINTS, retention.points_days), (RAW_RESPONSES, Some(retention.raw_responses_days))];
    for (table, days) in drops {
        if let Some(cutoff) = days.and_then(|days| days_before(now, days)) {
            trimmed.partitions_dropped += patiently(|| partitions::drop_before(pool, table, cutoff)).await?;
        }
    }
    if let Some(cutoff) = days_before(now, retention.runs_days) {
        trimmed.runs_deleted = polling_runs::delete_before(pool, cutoff).await?;
    }
    Ok(trimmed)
}

fn days_before(now: Timestamp, days: u32) -> Option<Timestamp> {
    now.checked_sub_signed(TimeDelta::days(days.into()))
}

/// Tries again while the table is busy.
async fn patiently<T, F>(task: impl FnMut() -> F) -> Result<T, repository::Error>
where
    F: Future<Output = Result<T, repository::Error>>,
{
    let pauses = ConstantBuilder::default().with_delay(PAUSE).with_max_times(TRIES);
    task.retry(pauses).when(repository::Error::is_transient).await
}
