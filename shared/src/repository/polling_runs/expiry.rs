//! Expiry of old runs, and of claims that no poller takes over. There are far fewer runs than points,
//! so they are in a plain table and are deleted, not dropped.

use chrono::TimeDelta;
use sqlx::PgPool;

use super::Error;
use crate::market::{Timestamp, to_microseconds};
use crate::repository::batched_deletion::delete_in_batches;

/// Rows deleted by one statement, so that it does not hold its locks for long.
const BATCH: i64 = 5_000;

/// How long after the end of its lease a firing may still come that takes a run over. It is longer
/// than EventBridge and Lambda deliver one.
const LONGEST_DELIVERY: TimeDelta = TimeDelta::hours(7);

/// Closes the runs of ticks whose poller ended and that no other one takes over: those of paused
/// jobs, and those whose lease ended hours ago. The others are closed by their job's next claim.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn close_left_behind(pool: &PgPool, now: Timestamp) -> Result<u64, Error> {
    let closed = sqlx::query(
        "update polling_runs run
         set status = 'abandoned', finished_at = $1, lease_until = null,
             error = 'the poller ended before the run did'
         from polling_jobs job
         where job.job_id = run.job_id and run.status = 'running' and not run.requested
           and (run.lease_until < $2 or run.lease_until < $1 and job.paused_at is not null)",
    )
    .bind(to_microseconds(now))
    .bind(now - LONGEST_DELIVERY)
    .execute(pool)
    .await?;
    Ok(closed.rows_affected())
}

/// Deletes the runs of ticks before `cutoff`, and returns their number. The newest run of a
/// job's ticks is kept at any age: the ticks that no poller polled are counted from it.
///
/// # Errors
/// When Postgres is unavailable or refuses a statement. Rows that were deleted before stay deleted.
pub async fn delete_before(pool: &PgPool, cutoff: Timestamp) -> Result<u64, Error> {
    delete_in_batches(pool, BATCH, || {
        sqlx::query(
            "delete from polling_runs run
             using (select old.job_id, old.tick_time
                    from polling_jobs job
                    cross join lateral (
                        select job_id, tick_time
                        from polling_runs
                        where job_id = job.job_id and tick_time < $1
                          and (requested
                               or tick_time < (select max(tick_time) from polling_runs
                                               where job_id = job.job_id and not requested))
                        order by tick_time
                        limit $2
                    ) old
                    limit $2) old
             where run.job_id = old.job_id and run.tick_time = old.tick_time",
        )
        .bind(cutoff)
        .bind(BATCH)
    })
    .await
}
