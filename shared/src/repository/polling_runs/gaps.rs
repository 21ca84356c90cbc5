//! The ticks of a job that nobody polled: one row for each gap between those that were.

use sqlx::PgConnection;

use super::RunStatus;
use super::locked_job::LockedJob;
use crate::market::Timestamp;
use crate::repository::Error;
use crate::tick::Gap;

/// The newest tick of the job's grid that any row covers. Rows from before the grid's start belong
/// to an earlier interval of the job, and requested runs are no ticks.
pub(super) async fn newest_recorded(
    connection: &mut PgConnection,
    job: &LockedJob,
) -> Result<Option<Timestamp>, Error> {
    let row: Option<(Timestamp, i64)> = sqlx::query_as(
        "select tick_time, ticks from polling_runs
         where job_id = $1 and tick_time >= $2 and not requested
         order by tick_time desc
         limit 1",
    )
    .bind(job.job_id)
    .bind(job.start_at)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(first, ticks)| job.grid.last_of(Gap { first, ticks })))
}

/// Records the ticks between the newest recorded one and `end`: as skipped for as long as the job
/// skips ticks or if it is paused, and as missed otherwise.
pub(in crate::repository) async fn record(
    connection: &mut PgConnection,
    job: &LockedJob,
    end: Timestamp,
) -> Result<(), Error> {
    let newest = newest_recorded(connection, job).await?;
    let skipped = job
        .skips_until
        .and_then(|until| job.grid.gap(newest, until.min(end)));
    let newest = skipped.map(|gap| job.grid.last_of(gap)).or(newest);
    let rest = job.grid.gap(newest, end);

    let others = match job.paused_at {
        Some(_) => RunStatus::Skipped,
        None => RunStatus::Missed,
    };
    if rest.is_some() && others == RunStatus::Missed {
        note_end_of_stall(connection, job, end).await?;
    }

    for (gap, status) in [(skipped, RunStatus::Skipped), (rest, others)] {
        let Some(gap) = gap else { continue };
        sqlx::query(
            "insert into polling_runs (job_id, tick_time, ticks, status) values ($1, $2, $3, $4)",
        )
        .bind(job.job_id)
        .bind(gap.first)
        .bind(gap.ticks)
        .bind(status.as_str())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// If the job was stalled, it is active from `now` on. A stalled job has missed a tick, so this is
/// not needed for a claim without a gap before it.
async fn note_end_of_stall(
    connection: &mut PgConnection,
    job: &LockedJob,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query(
        "update polling_jobs job set active_since = $2
         from polling_job_deadlines deadline
         where job.job_id = $1 and deadline.job_id = $1 and deadline.overdue_at < $2",
    )
    .bind(job.job_id)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}
