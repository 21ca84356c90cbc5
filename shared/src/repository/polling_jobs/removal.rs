//! Removal of what remains of deleted jobs, of jobs that were never activated, and of requests'
//! keys.

use serde::Serialize;
use sqlx::PgPool;

use crate::repository::Error;
use crate::repository::batched_deletion::delete_in_batches;

/// Rows deleted by one statement, so that it does not hold its locks for long.
const BATCH: i64 = 5_000;

/// The numbers of removed rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Jobs that were deleted.
    pub jobs: u64,
    /// Runs of such jobs.
    pub runs: u64,
    /// Jobs that were prepared and never activated.
    pub pending: u64,
    /// Keys older than 24 hours.
    pub keys: u64,
}

/// Removes jobs that are marked as deleted, their runs first and in batches; jobs that have been
/// pending for five minutes, with their keys; and keys after 24 hours.
///
/// # Errors
/// When Postgres is unavailable or refuses a statement. Rows that were removed before stay removed.
pub async fn remove_marked(pool: &PgPool) -> Result<Removed, Error> {
    let pending = sqlx::query_scalar::<_, i64>(
        "with gone as (
             delete from polling_jobs where pending_since < now() - interval '5 minutes' returning job_id
         ), keys as (
             delete from polling_job_keys using gone where polling_job_keys.job_id = gone.job_id
         )
         select count(*) from gone",
    )
    .fetch_one(pool)
    .await?;

    let keys =
        sqlx::query("delete from polling_job_keys where created_at < now() - interval '24 hours'")
            .execute(pool)
            .await?
            .rows_affected();

    // Runs before jobs: a job is deleted only once none of its runs is left, which may take several
    // calls.
    let runs = remove_runs(pool).await?;
    let jobs = sqlx::query(
        "delete from polling_jobs
         where deleted_at is not null
           and not exists (select from polling_runs where polling_runs.job_id = polling_jobs.job_id)",
    )
    .execute(pool)
    .await?
    .rows_affected();

    Ok(Removed {
        jobs,
        runs,
        pending: pending.unsigned_abs(),
        keys,
    })
}

async fn remove_runs(pool: &PgPool) -> Result<u64, Error> {
    delete_in_batches(pool, BATCH, || {
        sqlx::query(
            "delete from polling_runs run
             using (select marked.job_id, marked.tick_time
                    from polling_jobs job
                    cross join lateral (
                        select job_id, tick_time from polling_runs where job_id = job.job_id limit $1
                    ) marked
                    where job.deleted_at is not null
                    limit $1) marked
             where run.job_id = marked.job_id and run.tick_time = marked.tick_time",
        )
        .bind(BATCH)
    })
    .await
}
