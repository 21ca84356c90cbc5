//! Pauses jobs. A paused job keeps its schedule: firings find it paused and poll nothing. So a
//! pause is one statement in Postgres, and no crash leaves a half of it behind.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::change::{ChangeError, commit};
use super::{PollingJob, get};
use crate::market::{Timestamp, to_microseconds};
use crate::repository::polling_runs::{gaps, lock_job};
use crate::repository::transaction::BEGIN;

/// Pauses a job at `now`, and returns it; `None` if there is no such job. Pausing a paused job
/// changes nothing.
///
/// # Errors
/// When Postgres is unavailable or refuses a statement, or does not tell whether it committed.
pub async fn pause(
    pool: &PgPool,
    job_id: Uuid,
    now: Timestamp,
) -> Result<Option<PollingJob>, ChangeError> {
    let mut transaction = pool.begin_with(BEGIN).await?;
    let Some(job) = lock_job(&mut transaction, job_id).await? else {
        return Ok(None);
    };

    if job.paused_at.is_none() {
        // Ticks that were missed before are told apart from those that the pause skips. The newest
        // tick is left: a poller may be about to find the job paused.
        if let Some(newest_tick) = job.grid.newest_at(now) {
            gaps::record(&mut transaction, &job, newest_tick).await?;
        }
        set_paused(&mut transaction, job_id, Some(now)).await?;
    }

    finish(transaction, job_id).await
}

/// Ends the pause of a job at `now`, and returns it; `None` if there is no such job. Ticks of the
/// pause are skipped for good, and a back-off from before it is over. Resuming a job that is not
/// paused changes nothing.
///
/// # Errors
/// As [`pause`].
pub async fn resume(
    pool: &PgPool,
    job_id: Uuid,
    now: Timestamp,
) -> Result<Option<PollingJob>, ChangeError> {
    let mut transaction = pool.begin_with(BEGIN).await?;
    let Some(job) = lock_job(&mut transaction, job_id).await? else {
        return Ok(None);
    };

    if job.paused_at.is_some() {
        // Up to the newest tick, or a relay would poll it and so catch up.
        let next_tick = job.grid.next_after(now);
        gaps::record(&mut transaction, &job, next_tick).await?;

        sqlx::query(
            "update polling_jobs
             set active_since = $2, consecutive_failures = 0, backing_off_until = null, backing_off_since = null
             where job_id = $1",
        )
        .bind(job_id)
        .bind(to_microseconds(now))
        .execute(&mut *transaction)
        .await?;
        set_paused(&mut transaction, job_id, None).await?;
    }

    finish(transaction, job_id).await
}

async fn set_paused(
    connection: &mut PgConnection,
    job_id: Uuid,
    paused_at: Option<Timestamp>,
) -> Result<(), ChangeError> {
    sqlx::query("update polling_jobs set paused_at = $2 where job_id = $1")
        .bind(job_id)
        .bind(paused_at.map(to_microseconds))
        .execute(connection)
        .await?;
    Ok(())
}

/// Reads the job as it is now, and commits.
async fn finish(
    mut transaction: sqlx::Transaction<'_, sqlx::Postgres>,
    job_id: Uuid,
) -> Result<Option<PollingJob>, ChangeError> {
    let job = get(&mut *transaction, job_id).await?;
    commit(transaction, job_id).await?;
    Ok(job)
}
