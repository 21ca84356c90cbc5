//! Which poller polls a tick: its claim, and the ticks before it that no poller polled.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::locked_job::lock_job;
use super::{Claim, ClaimOutcome, LEASE, gaps};
use crate::market::{Timestamp, to_microseconds};
use crate::repository::Error;
use crate::repository::transaction::BEGIN;

/// Claims a tick at `now`, records the ticks before it that no poller polled, and closes runs whose
/// lease has expired. It may be repeated with the same claim if its answer was lost.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn claim(pool: &PgPool, claim: &Claim, now: Timestamp) -> Result<ClaimOutcome, Error> {
    let &Claim {
        job_id,
        tick_time,
        requested,
        ..
    } = claim;
    let mut transaction = pool.begin_with(BEGIN).await?;

    // The job's row is locked first: what follows then sees what the last claim of this job
    // committed.
    let Some(job) = lock_job(&mut transaction, job_id).await? else {
        return Ok(ClaimOutcome::NoSuchJob);
    };

    // Also of a job that is paused or backs off: whoever asked for the run wants it now.
    if requested {
        let outcome = take_over(&mut transaction, claim, now).await?;
        transaction.commit().await?;
        return Ok(outcome);
    }

    if job.paused_at.is_some() {
        return Ok(ClaimOutcome::Paused);
    }
    if let Some(until) = job.skips_until.filter(|until| tick_time < *until) {
        return Ok(ClaimOutcome::BackingOff(until));
    }

    // A tick of the grid that the job had before its interval changed is in a row, or it is none.
    let newest = gaps::newest_recorded(&mut transaction, &job).await?;
    let is_recorded = !job.grid.has(tick_time) || newest.is_some_and(|newest| tick_time <= newest);
    let outcome = if is_recorded {
        take_over(&mut transaction, claim, now).await?
    } else {
        close_abandoned(&mut transaction, job_id, now).await?;
        gaps::record(&mut transaction, &job, tick_time).await?;
        insert(&mut transaction, claim, now).await?;
        ClaimOutcome::Claimed
    };

    transaction.commit().await?;
    Ok(outcome)
}

/// Claims a tick that already has a row: if its lease has expired or belongs to this claim, if it
/// was recorded as missed and its firing was only late, or if a request asked for the run.
///
/// A row of several missed ticks stays as it is: claiming one of them would split the row.
async fn take_over(
    connection: &mut PgConnection,
    claim: &Claim,
    now: Timestamp,
) -> Result<ClaimOutcome, Error> {
    let taken = sqlx::query(
        "update polling_runs
         set status = 'running', claim_id = $3, lease_until = $4, started_at = $5, finished_at = null
         where job_id = $1 and tick_time = $2
           and (status = 'running' and (lease_until <= $5 or claim_id = $3)
                or status = 'requested' or status = 'missed' and ticks = 1)",
    )
    .bind(claim.job_id)
    .bind(claim.tick_time)
    .bind(claim.claim_id)
    .bind(to_microseconds(now + LEASE))
    .bind(to_microseconds(now))
    .execute(&mut *connection)
    .await?;

    if taken.rows_affected() > 0 {
        return Ok(ClaimOutcome::Claimed);
    }

    let held_until: Option<Timestamp> = sqlx::query_scalar(
        "select lease_until from polling_runs where job_id = $1 and tick_time = $2 and status = 'running'",
    )
    .bind(claim.job_id)
    .bind(claim.tick_time)
    .fetch_optional(connection)
    .await?;

    Ok(held_until.map_or(ClaimOutcome::AlreadyRecorded, ClaimOutcome::Held))
}

/// Closes the runs of ticks whose poller ended. A requested run waits for its invocation to come
/// again.
async fn close_abandoned(
    connection: &mut PgConnection,
    job_id: Uuid,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query(
        "update polling_runs set status = 'abandoned', finished_at = $2, lease_until = null,
                error = 'the poller ended before the run did'
         where job_id = $1 and status = 'running' and lease_until <= $2 and not requested",
    )
    .bind(job_id)
    .bind(to_microseconds(now))
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert(connection: &mut PgConnection, claim: &Claim, now: Timestamp) -> Result<(), Error> {
    sqlx::query(
        "insert into polling_runs (job_id, tick_time, status, claim_id, lease_until, started_at)
         values ($1, $2, 'running', $3, $4, $5)",
    )
    .bind(claim.job_id)
    .bind(claim.tick_time)
    .bind(claim.claim_id)
    .bind(to_microseconds(now + LEASE))
    .bind(to_microseconds(now))
    .execute(connection)
    .await?;
    Ok(())
}
