//! Claims of many jobs' ticks at the same time, in a few statements for all of them.

use std::collections::HashSet;

use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use super::{Claim, LEASE};
use crate::market::{Timestamp, to_microseconds};
use crate::repository::Error;
use crate::repository::transaction::BEGIN;

/// Claims ticks of different jobs at `now`, those together that can be, as nearly all can: the ticks
/// that directly follow on their job's newest row, or are the job's first, if the job skips no ticks
/// and none of its runs is being polled. Returns the ids of the claims that hold; the rest is
/// left to [`claim_unless_locked`](super::claim_unless_locked). It may be repeated with the same
/// claims if its answer was lost.
///
/// A job that somebody else has locked is left out: it must not hold up the others.
///
/// # Errors
/// When Postgres is unavailable or refuses a statement.
pub async fn claim_successors(
    pool: &PgPool,
    claims: &[Claim],
    now: Timestamp,
) -> Result<HashSet<Uuid>, Error> {
    let asked: Vec<Uuid> = claims.iter().map(|claim| claim.job_id).collect();
    let ticks: Vec<Timestamp> = claims.iter().map(|claim| claim.tick_time).collect();
    let claim_ids: Vec<Uuid> = claims.iter().map(|claim| claim.claim_id).collect();
    let mut transaction = pool.begin_with(BEGIN).await?;

    // A statement of its own: the next one then sees what the last claims of these jobs committed.
    let job_ids: Vec<Uuid> = sqlx::query_scalar(
        "select job_id from polling_jobs where job_id = any($1) for update skip locked",
    )
    .bind(&asked)
    .fetch_all(&mut *transaction)
    .await?;

    let claimed: Vec<Uuid> = sqlx::query_scalar(
        "insert into polling_runs (job_id, tick_time, status, claim_id, lease_until, started_at)
         select job.job_id, due.tick_time, 'running', due.claim_id, $4, $5
         from unnest($1::uuid[], $2::timestamptz[], $3::uuid[]) due (job_id, tick_time, claim_id)
         join polling_jobs job using (job_id)
         left join lateral (
             select tick_time, ticks
             from polling_runs
             where polling_runs.job_id = due.job_id and polling_runs.tick_time >= job.start_at
               and not requested
             order by tick_time desc
             limit 1
         ) newest on true
         where job.job_id = any($6)
           and job.pending_since is null and job.deleted_at is null and job.paused_at is null
           and coalesce(greatest(job.backing_off_until, job.closed_until) <= due.tick_time, true)
           and due.tick_time = coalesce(
               newest.tick_time + newest.ticks * job.interval_seconds * interval '1 second', job.start_at
           )
           and not exists (select from polling_runs
                           where polling_runs.job_id = due.job_id and status = 'running' and not requested)
         returning claim_id",
    )
    .bind(&asked)
    .bind(&ticks)
    .bind(&claim_ids)
    .bind(to_microseconds(now + LEASE))
    .bind(to_microseconds(now))
    .bind(&job_ids)
    .fetch_all(&mut *transaction)
    .await?;

    transaction.commit().await?;
    Ok(claimed.into_iter().collect())
}

/// Renews the leases of claims; returns the ids of those that still hold. A claim of a deleted job
/// does not.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn renew_all(
    executor: impl PgExecutor<'_>,
    claims: &[Claim],
    now: Timestamp,
) -> Result<HashSet<Uuid>, Error> {
    let job_ids: Vec<Uuid> = claims.iter().map(|claim| claim.job_id).collect();
    let ticks: Vec<Timestamp> = claims.iter().map(|claim| claim.tick_time).collect();
    let claim_ids: Vec<Uuid> = claims.iter().map(|claim| claim.claim_id).collect();

    let held: Vec<Uuid> = sqlx::query_scalar(
        "update polling_runs run set lease_until = $4
         from unnest($1::uuid[], $2::timestamptz[], $3::uuid[]) held (job_id, tick_time, claim_id)
         where run.job_id = held.job_id and run.tick_time = held.tick_time
           and run.claim_id = held.claim_id and run.status = 'running'
           and exists (select from polling_jobs job
                       where job.job_id = held.job_id and job.deleted_at is null)
         returning run.claim_id",
    )
    .bind(job_ids)
    .bind(ticks)
    .bind(claim_ids)
    .bind(to_microseconds(now + LEASE))
    .fetch_all(executor)
    .await?;
    Ok(held.into_iter().collect())
}
