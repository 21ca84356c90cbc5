//! Pauses jobs. A paused job keeps its schedule: firings find it paused and poll nothing. So a
//! pause is one statement in Postgres, and no crash leaves a half of it behind.

use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::change::{ChangeError, Uncommitted};
use super::{PollingJob, get};
use crate::market::{Timestamp, to_microseconds};
use crate::repository::polling_runs::{LockedJob, close_abandoned, gaps, lock_job};
use crate::repository::transaction::BEGIN;
use crate::tick;

/// Pauses a job at `now`, and returns it; `None` if there is no such job. Pausing a paused job
/// changes nothing.
///
/// # Errors
/// When Postgres is unavailable or refuses a statement.
pub async fn pause(
    pool: &PgPool,
    job_id: Uuid,
    now: Timestamp,
) -> Result<Option<Uncommitted<PollingJob>>, ChangeError> {
    let mut transaction = pool.begin_with(BEGIN).await?;
    let Some(job) = lock_job(&mut transaction, job_id).await? else {
        return Ok(None);
    };

    if job.paused_at.is_none() {
        close_abandoned(&mut transaction, job_id, now).await?;
        record_missed(&mut transaction, &job, now).await?;
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
) -> Result<Option<Uncommitted<PollingJob>>, ChangeError> {
    let mut transaction = pool.begin_with(BEGIN).await?;
    let Some(job) = lock_job(&mut transaction, job_id).await? else {
        return Ok(None);
    };

    if job.paused_at.is_some() {
        // Those whose poller ended during the pause. Nobody could take them over.
        close_abandoned(&mut transaction, job_id, now).await?;

        // Up to the newest tick, or a relay would poll it and so catch up.
        let next_tick = job.grid.next_after(now);
        gaps::record(&mut transaction, &job, next_tick).await?;

        sqlx::query(
            "update polling_jobs
             set active_since = $2, configuration = configuration + 1,
                 consecutive_failures = 0, backing_off_until = null, backing_off_since = null
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

/// Records the ticks that were missed before the pause, to tell them apart from those that it skips.
/// The newest one is left if its firing may still come, which then finds the job paused.
async fn record_missed(
    connection: &mut PgConnection,
    job: &LockedJob,
    now: Timestamp,
) -> Result<(), ChangeError> {
    let Some(newest_tick) = job.grid.newest_at(now) else {
        return Ok(());
    };

    gaps::record(connection, job, newest_tick).await?;
    if newest_tick + tick::delivery_age(job.interval_seconds) < now {
        gaps::record(connection, job, job.grid.next_after(now)).await?;
    }
    Ok(())
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

/// Reads the job as it is now.
async fn finish(
    mut transaction: Transaction<'static, Postgres>,
    job_id: Uuid,
) -> Result<Option<Uncommitted<PollingJob>>, ChangeError> {
    let job = get(&mut *transaction, job_id).await?;
    Ok(job.map(|changed| Uncommitted {
        transaction,
        job_id,
        changed,
    }))
}
