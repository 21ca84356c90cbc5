//! The job of a run, locked.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::market::Timestamp;
use crate::repository::Error;
use crate::tick::Grid;

/// The fields of a job that its runs depend on, read under a lock that lasts until the transaction
/// ends.
pub(super) struct LockedJob {
    pub(super) grid: Grid,
    pub(super) consecutive_failures: i32,
    pub(super) backing_off_until: Option<Timestamp>,
}

/// Locks the job's row, if the job is active.
pub(super) async fn lock_job(
    connection: &mut PgConnection,
    job_id: Uuid,
) -> Result<Option<LockedJob>, Error> {
    let row: Option<(Timestamp, i32, i32, Option<Timestamp>)> = sqlx::query_as(
        "select start_at, interval_seconds, consecutive_failures, backing_off_until
         from polling_jobs
         where job_id = $1 and pending_since is null and deleted_at is null for update",
    )
    .bind(job_id)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(
        |(start_at, interval_seconds, consecutive_failures, backing_off_until)| LockedJob {
            grid: Grid::new(start_at, interval_seconds.unsigned_abs()),
            consecutive_failures,
            backing_off_until,
        },
    ))
}
