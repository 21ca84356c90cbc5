//! Old runs: a plain table, since there are far fewer runs than points, so they are deleted rather than dropped.

use sqlx::PgPool;

use super::Error;
use crate::market::Timestamp;

/// Rows deleted at once, so that no statement holds its locks for long.
const BATCH: i64 = 5_000;
/// Batches deleted in one go; the rest waits for the next.
const MAX_BATCHES: u32 = 200;

/// Deletes the runs of ticks before `cutoff`, and returns how many. The newest run of a job stays however old it is:
/// which ticks nobody polled is counted from there.
///
/// # Errors
/// When Postgres is away or refuses; what was deleted stays so.
pub async fn delete_before(pool: &PgPool, cutoff: Timestamp) -> Result<u64, Error> {
    let mut deleted = 0;
    for _ in 0..MAX_BATCHES {
        let batch = sqlx::query(
            "delete from polling_runs run
             using (select old.job_id, old.tick_time
                    from polling_jobs job
                    cross join lateral (
                        select job_id, tick_time
                        from polling_runs
                        where job_id = job.job_id and tick_time < $1
                          and tick_time < (select max(tick_time) from polling_runs where job_id = job.job_id)
                        order by tick_time
                        limit $2
                    ) old
                    limit $2) old
             where run.job_id = old.job_id and run.tick_time = old.tick_time",
        )
        .bind(cutoff)
        .bind(BATCH)
        .execute(pool)
        .await?
        .rows_affected();
        deleted += batch;
        if batch < BATCH.unsigned_abs() {
            break;
        }
    }
    Ok(deleted)
}
