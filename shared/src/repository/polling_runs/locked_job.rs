//! The job of a run, locked.

use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::market::Timestamp;
use crate::repository::Error;
use crate::tick::Grid;

/// The fields of a job that its runs depend on, read under a lock that lasts until the transaction
/// ends.
pub(in crate::repository) struct LockedJob {
    pub(in crate::repository) job_id: Uuid,
    pub(in crate::repository) grid: Grid,
    pub(in crate::repository) start_at: Timestamp,
    pub(in crate::repository) consecutive_failures: i32,
    /// Ticks before this are skipped.
    pub(in crate::repository) skips_until: Option<Timestamp>,
    pub(in crate::repository) backing_off_since: Option<Timestamp>,
    pub(in crate::repository) paused_at: Option<Timestamp>,
}

#[derive(FromRow)]
struct Row {
    start_at: Timestamp,
    interval_seconds: i32,
    consecutive_failures: i32,
    skips_until: Option<Timestamp>,
    backing_off_since: Option<Timestamp>,
    paused_at: Option<Timestamp>,
}

/// Locks the job's row, if the job is active.
pub(in crate::repository) async fn lock_job(
    connection: &mut PgConnection,
    job_id: Uuid,
) -> Result<Option<LockedJob>, Error> {
    let row: Option<Row> = sqlx::query_as(
        "select start_at, interval_seconds, consecutive_failures,
                greatest(backing_off_until, closed_until) as skips_until, backing_off_since, paused_at
         from polling_jobs
         where job_id = $1 and pending_since is null and deleted_at is null for update",
    )
    .bind(job_id)
    .fetch_optional(connection)
    .await?;

    Ok(row.map(|row| LockedJob {
        job_id,
        grid: Grid::new(row.start_at, row.interval_seconds.unsigned_abs()),
        start_at: row.start_at,
        consecutive_failures: row.consecutive_failures,
        skips_until: row.skips_until,
        backing_off_since: row.backing_off_since,
        paused_at: row.paused_at,
    }))
}
