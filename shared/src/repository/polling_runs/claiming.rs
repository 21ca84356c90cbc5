//! Which poller polls a tick: its claim, and the ticks before it that no poller polled.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::locked_job::{LockedJob, Waiting, lock};
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
    let outcome = claim_waiting(pool, claim, now, Waiting::Patient).await?;
    Ok(outcome.unwrap_or(ClaimOutcome::NoSuchJob))
}

/// As [`claim`]; `None` if the job does not exist, or if somebody else has locked its row. A lock
/// is not waited for: the tick stays due.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn claim_unless_locked(
    pool: &PgPool,
    claim: &Claim,
    now: Timestamp,
) -> Result<Option<ClaimOutcome>, Error> {
    claim_waiting(pool, claim, now, Waiting::Never).await
}

async fn claim_waiting(
    pool: &PgPool,
    claim: &Claim,
    now: Timestamp,
    waiting: Waiting,
) -> Result<Option<ClaimOutcome>, Error> {
    let mut transaction = pool.begin_with(BEGIN).await?;

    // The job's row is locked first: what follows then sees what the last claim of this job
    // committed.
    let Some(job) = lock(&mut transaction, claim.job_id, waiting).await? else {
        return Ok(None);
    };

    let outcome = claim_of(&mut transaction, &job, claim, now).await?;
    transaction.commit().await?;
    Ok(Some(outcome))
}

/// Claims a run of a job that is locked.
async fn claim_of(
    connection: &mut PgConnection,
    job: &LockedJob,
    claim: &Claim,
    now: Timestamp,
) -> Result<ClaimOutcome, Error> {
    let tick_time = claim.tick_time;

    // Also of a job that is paused or backs off: whoever asked for the run wants it now.
    if claim.requested {
        return take_over(connection, claim, now).await;
    }

    if job.paused_at.is_some() {
        return Ok(ClaimOutcome::Paused);
    }
    if let Some(until) = job.skips_until.filter(|until| tick_time < *until) {
        return Ok(ClaimOutcome::BackingOff(until));
    }

    // A tick of the grid that the job had before its interval changed is in a row, or it is none.
    let newest = gaps::newest_recorded(connection, job).await?;
    if !job.grid.has(tick_time) || newest.is_some_and(|newest| tick_time <= newest) {
        return take_over(connection, claim, now).await;
    }

    close_abandoned(connection, job.job_id, now).await?;
    gaps::record_before(connection, job, tick_time).await?;
    insert(connection, claim, now).await?;
    Ok(ClaimOutcome::Claimed)
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
pub(in crate::repository) async fn close_abandoned(
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
