//! Growth: creates partitions ahead of need, and drops what is older than its retention.
//!
//! Each table is handled separately: one that is in use does not delay the others until the next
//! run.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use chrono::TimeDelta;
use serde::Serialize;
use shared::config::Retention;
use shared::market::Timestamp;
use shared::repository::ingest::{count_points, fold_quarters, remove_expired_series};
use shared::repository::partitions::{
    self, PRICE_POINTS, PartitionError, PartitionedTable, RAW_RESPONSES,
};
use shared::repository::polling_jobs::removal::{Removed, remove_marked};
use shared::repository::{changes, fetch_leases, polling_runs, rejected_events};
use sqlx::PgPool;
use tokio::time::Instant;

use crate::failure::Failures;

/// How often a table that is in use is tried again. Each attempt blocks reads and writes for at
/// most a quarter of a second.
const TRIES: usize = 6;
/// The first pause between attempts, which doubles, and the longest. Reads and writes continue
/// meanwhile.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(4));
/// Largest accepted difference between our clock and Postgres's.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::hours(1);

/// Longest that points of series are counted in one run.
const COUNTING: Duration = Duration::from_secs(15);
/// Longest that points are folded in one run.
const FOLDING: Duration = Duration::from_secs(30);

/// What was created and what was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trimmed {
    /// Partitions created ahead of need.
    pub partitions_made: usize,
    /// Partitions dropped for their age.
    pub partitions_dropped: usize,
    /// Requested runs closed because no poller ended them.
    pub requests_closed: u64,
    /// Runs deleted for their age.
    pub runs_deleted: u64,
    /// Rejected events deleted for their age.
    pub rejected_deleted: u64,
    /// Series removed whose points were all dropped.
    pub series_removed: u64,
    /// Series whose points were counted.
    pub series_counted: u64,
    /// Quarter hours of series that were folded for candles, by unit.
    pub quarters_folded: u64,
    /// Changes of points forgotten for their age.
    pub changes_forgotten: u64,
    /// Rows of jobs that were deleted or never activated.
    pub jobs: Removed,
}

/// Our clock and Postgres's differ, so nothing may be dropped for its age.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "nothing is dropped for its age, since upkeep's clock says {ours} and Postgres's {postgres}: set the one that is wrong"
)]
pub struct ClocksDiffer {
    ours: Timestamp,
    postgres: Timestamp,
}

/// The earlier time of the two clocks.
///
/// # Errors
/// When they differ by more than an hour.
pub fn agreed_time(ours: Timestamp, postgres: Timestamp) -> Result<Timestamp, ClocksDiffer> {
    if (ours - postgres).abs() > CLOCK_TOLERANCE {
        return Err(ClocksDiffer { ours, postgres });
    }

    Ok(ours.min(postgres))
}

/// Creates the partitions that will be needed after `now`.
pub async fn make_ahead(
    pool: &PgPool,
    now: Timestamp,
    trimmed: &mut Trimmed,
    failures: &mut Failures,
) {
    for table in [PRICE_POINTS, RAW_RESPONSES] {
        let made = patiently(|| partitions::make_ahead(pool, table, now)).await;
        trimmed.partitions_made += failures
            .done(&format!("partitions of {}", table.name()), made)
            .unwrap_or(0);
    }
}

/// Drops what is older than its retention at `now`. Failures are recorded in `failures`; the next
/// run tries again.
pub async fn trim(
    pool: &PgPool,
    retention: &Retention,
    now: Timestamp,
    trimmed: &mut Trimmed,
    failures: &mut Failures,
) {
    let drops = [
        (PRICE_POINTS, retention.points_days),
        (RAW_RESPONSES, Some(retention.raw_responses_days)),
    ];
    for (table, days) in drops {
        let Some(days) = days else { continue };

        let dropped = patiently(|| drop_old(pool, table, days, now)).await;
        trimmed.partitions_dropped += failures
            .done(&format!("retention of {}", table.name()), dropped)
            .unwrap_or(0);
    }

    trimmed.jobs = failures
        .done("deleted jobs", remove_marked(pool).await)
        .unwrap_or_default();

    // After the partitions of points, because a series loses its last points with them.
    let series = remove_expired_series(pool).await;
    trimmed.series_removed = failures.done("series without points", series).unwrap_or(0);

    // The rest is left to the next run.
    let counted = count_points(pool, Instant::now() + COUNTING).await;
    trimmed.series_counted = failures.done("counts of points", counted).unwrap_or(0);

    let folded = fold_quarters(pool, Instant::now() + FOLDING).await;
    trimmed.quarters_folded = failures.done("folds of points", folded).unwrap_or(0);

    let forgotten = changes::forget_old(pool).await;
    trimmed.changes_forgotten = failures.done("old changes", forgotten).unwrap_or(0);

    let closed = polling_runs::close_unserved(pool, now).await;
    trimmed.requests_closed = failures.done("requested runs", closed).unwrap_or(0);

    let abandoned = polling_runs::close_left_behind(pool, now).await;
    failures.done("abandoned runs", abandoned);

    if let Some(cutoff) = days_before(now, retention.runs_days) {
        let runs = polling_runs::delete_before(pool, cutoff).await;
        trimmed.runs_deleted = failures.done("retention of runs", runs).unwrap_or(0);
    }

    trim_rejected(pool, retention, now, trimmed, failures).await;

    let leases = fetch_leases::delete_old(pool).await;
    failures.done("old leases on fetches", leases);
}

/// Deletes old rejected events, and the notes of those that were sent again.
async fn trim_rejected(
    pool: &PgPool,
    retention: &Retention,
    now: Timestamp,
    trimmed: &mut Trimmed,
    failures: &mut Failures,
) {
    if let Some(cutoff) = days_before(now, retention.rejected_days) {
        let rejected = rejected_events::delete_before(pool, cutoff).await;
        trimmed.rejected_deleted = failures
            .done("retention of rejected events", rejected)
            .unwrap_or(0);

        let forgotten = rejected_events::quarantine::forget_redriven(pool, cutoff).await;
        failures.done("notes of events sent again", forgotten);
    }
}

/// Drops the partitions of a table that ended `days` before both `now` and the newest row. If all
/// clocks jump ahead by years, the data stored until then is not dropped.
async fn drop_old(
    pool: &PgPool,
    table: PartitionedTable,
    days: u32,
    now: Timestamp,
) -> Result<usize, PartitionError> {
    let Some(cutoff) = days_before(now, days) else {
        return Ok(0);
    };
    if !partitions::any_before(pool, table, cutoff).await? {
        return Ok(0);
    }

    let Some(newest) = partitions::newest(pool, table).await? else {
        return Ok(0);
    };
    let Some(cutoff) = days_before(now.min(newest), days) else {
        return Ok(0);
    };

    partitions::drop_before(pool, table, cutoff).await
}

fn days_before(now: Timestamp, days: u32) -> Option<Timestamp> {
    now.checked_sub_signed(TimeDelta::days(days.into()))
}

/// Retries while the table is in use.
async fn patiently<F>(task: impl FnMut() -> F) -> Result<usize, PartitionError>
where
    F: Future<Output = Result<usize, PartitionError>>,
{
    let (first, longest) = PAUSES;
    let pauses = ExponentialBuilder::default()
        .with_min_delay(first)
        .with_max_delay(longest)
        .with_max_times(TRIES)
        .with_jitter();

    task.retry(pauses).when(PartitionError::is_busy).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_older_clock_counts_and_clocks_that_disagree_are_named() {
        let now = at("2026-11-28T12:00:00Z");
        let (earlier, hour) = (now - TimeDelta::minutes(59), TimeDelta::hours(1));

        assert_eq!(agreed_time(now, earlier), Ok(earlier));
        assert_eq!(agreed_time(earlier, now), Ok(earlier));
        assert_eq!(agreed_time(now, now + hour), Ok(now));

        for (ours, postgres) in [
            (now, at("2036-01-01T00:00:00Z")),
            (at("2036-01-01T00:00:00Z"), now),
        ] {
            let told = agreed_time(ours, postgres).unwrap_err().to_string();
            assert!(
                told.contains("2036-01-01") && told.contains("2026-11-28"),
                "{told}"
            );
        }

        assert!(agreed_time(now, at("1970-01-01T00:00:00Z")).is_err());
    }
}
