//! The ticks of a job that were not polled: one row for each gap between those that were.

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

/// The ticks that no row covers yet.
struct Gaps {
    /// The first of them, as long as the job skips ticks.
    skipped: Option<Gap>,
    /// Those after them.
    rest: Option<Gap>,
}

/// Records the ticks between the newest recorded one and `end`: as skipped for as long as the job
/// skips ticks or if it is paused, and as missed otherwise.
pub(in crate::repository) async fn record(
    connection: &mut PgConnection,
    job: &LockedJob,
    end: Timestamp,
) -> Result<(), Error> {
    let gaps = find(connection, job, end).await?;
    insert(connection, job, &gaps).await
}

/// Records the ticks before `tick`, which is about to be polled, as [`record`] does. If the job was
/// stalled, it is active from this tick on.
pub(super) async fn record_before(
    connection: &mut PgConnection,
    job: &LockedJob,
    tick: Timestamp,
) -> Result<(), Error> {
    let gaps = find(connection, job, tick).await?;

    // Before the rows, which move the time at which the job's next run is overdue. A stalled job has
    // missed a tick.
    if gaps.rest.is_some() {
        note_end_of_stall(connection, job, tick).await?;
    }
    insert(connection, job, &gaps).await
}

/// Records the ticks between the newest recorded one and `end` that the job skipped, and no others.
/// This does not move the time at which the job's next run is overdue.
pub(in crate::repository) async fn record_skipped(
    connection: &mut PgConnection,
    job: &LockedJob,
    end: Timestamp,
) -> Result<(), Error> {
    let gaps = Gaps {
        rest: None,
        ..find(connection, job, end).await?
    };
    insert(connection, job, &gaps).await
}

async fn find(
    connection: &mut PgConnection,
    job: &LockedJob,
    end: Timestamp,
) -> Result<Gaps, Error> {
    let newest = newest_recorded(connection, job).await?;
    let skipped = job
        .skips_until
        .and_then(|until| job.grid.gap(newest, until.min(end)));
    let newest = skipped.map(|gap| job.grid.last_of(gap)).or(newest);
    let rest = job.grid.gap(newest, end);
    Ok(Gaps { skipped, rest })
}

async fn insert(connection: &mut PgConnection, job: &LockedJob, gaps: &Gaps) -> Result<(), Error> {
    let others = match job.paused_at {
        Some(_) => RunStatus::Skipped,
        None => RunStatus::Missed,
    };

    for (gap, status) in [(gaps.skipped, RunStatus::Skipped), (gaps.rest, others)] {
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

/// If the job was stalled, it is active from `now` on.
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
