//! Expiry of old runs. There are far fewer runs than points, so they are in a plain table and are
//! deleted, not dropped.

use sqlx::PgPool;

use super::Error;
use crate::market::Timestamp;
use crate::repository::batched_deletion::delete_in_batches;

/// Rows deleted by one statement, so that it does not hold its locks for long.
const BATCH: i64 = 5_000;

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
