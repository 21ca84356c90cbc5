//! The job of a run, locked.

use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use crate::market::Timestamp;
use crate::repository::Error;
use crate::tick::Grid;

/// The fields of a job that its runs depend on, read under a lock that lasts until the transaction
/// ends.
pub(in crate::repository) struct LockedJob {
    pub(in crate::repository) job_id: Uuid,
    pub(in crate::repository) grid: Grid,
    pub(in crate::repository) interval_seconds: u32,
    pub(in crate::repository) start_at: Timestamp,
    pub(in crate::repository) configuration: i32,
    pub(in crate::repository) consecutive_failures: i32,
    /// Ticks before this are skipped.
    pub(in crate::repository) skips_until: Option<Timestamp>,
    pub(in crate::repository) backing_off_since: Option<Timestamp>,
    pub(in crate::repository) paused_at: Option<Timestamp>,
}

#[derive(FromRow)]
struct Row {
    start_at: Timestamp,
    configuration: i32,
    interval_seconds: i32,
    consecutive_failures: i32,
    skips_until: Option<Timestamp>,
    backing_off_since: Option<Timestamp>,
    paused_at: Option<Timestamp>,
}

/// Locks the job's row, if the job is active. Waits for whoever has locked it.
pub(in crate::repository) async fn lock_job(
    connection: &mut PgConnection,
    job_id: Uuid,
) -> Result<Option<LockedJob>, Error> {
    lock(connection, job_id, Waiting::Patient).await
}

/// Whether a lock is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// Until whoever has locked the row ends.
    Patient,
    /// Not at all: a row that is locked counts as missing.
    Never,
}

/// Locks the job's row, if the job is active.
pub(super) async fn lock(
    connection: &mut PgConnection,
    job_id: Uuid,
    waiting: Waiting,
) -> Result<Option<LockedJob>, Error> {
    let mut query = QueryBuilder::<Postgres>::new(
        "select start_at, interval_seconds, configuration, consecutive_failures,
                greatest(backing_off_until, closed_until) as skips_until, backing_off_since, paused_at
         from polling_jobs
         where pending_since is null and deleted_at is null and job_id = ",
    );
    query.push_bind(job_id).push(" for update");
    if waiting == Waiting::Never {
        query.push(" skip locked");
    }
    let row: Option<Row> = query.build_query_as().fetch_optional(connection).await?;

    Ok(row.map(|row| LockedJob {
        job_id,
        grid: Grid::new(row.start_at, row.interval_seconds.unsigned_abs()),
        interval_seconds: row.interval_seconds.unsigned_abs(),
        start_at: row.start_at,
        configuration: row.configuration,
        consecutive_failures: row.consecutive_failures,
        skips_until: row.skips_until,
        backing_off_since: row.backing_off_since,
        paused_at: row.paused_at,
    }))
}
