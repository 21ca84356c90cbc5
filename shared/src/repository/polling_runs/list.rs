//! Lists the runs of a job.

use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

use super::outcomes::{self, OutcomeGroup};
use super::{Error, RunStatus};
use crate::market::Timestamp;

/// A run, or consecutive ticks that were not polled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The tick, or the first one.
    pub tick_time: Timestamp,
    /// Whether a request asked for the run. Its `tick_time` is then the time of the request.
    pub requested: bool,
    /// The number of ticks: more than one only if they were missed or skipped.
    pub ticks: u64,
    /// The state of the ticks, or their result.
    pub status: RunStatus,
    /// When a poller claimed the tick; `None` if none did.
    pub started_at: Option<Timestamp>,
    /// When the run ended; `None` while it has not, or if no poller polled it.
    pub finished_at: Option<Timestamp>,
    /// Symbols whose quote is new.
    pub published: u32,
    /// Symbols whose quote did not move.
    pub unchanged: u32,
    /// Symbols without a quote, or whose event was not acknowledged.
    pub failed: u32,
    /// The first error; safe to show.
    pub error: Option<String>,
    /// What became of each symbol. Empty if the run has not ended with a result.
    pub outcomes: Vec<OutcomeGroup>,
}

#[derive(FromRow)]
struct Row {
    tick_time: Timestamp,
    requested: bool,
    ticks: i64,
    status: String,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    published: Option<i32>,
    unchanged: i32,
    failed: Option<i32>,
    error: Option<String>,
    outcomes: Option<String>,
}

impl TryFrom<Row> for Run {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            tick_time: row.tick_time,
            requested: row.requested,
            ticks: row.ticks.unsigned_abs(),
            status: RunStatus::read(&row.status)?,
            started_at: row.started_at,
            finished_at: row.finished_at,
            published: row.published.unwrap_or(0).unsigned_abs(),
            unchanged: row.unchanged.unsigned_abs(),
            failed: row.failed.unwrap_or(0).unsigned_abs(),
            error: row.error,
            outcomes: outcomes::read(row.outcomes.as_deref())?,
        })
    }
}

/// Up to `limit` runs of a job, newest first, beginning before the tick `before`; `None` if there
/// is no such job.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn list(
    executor: impl PgExecutor<'_>,
    job_id: Uuid,
    before: Option<Timestamp>,
    limit: i64,
) -> Result<Option<Vec<Run>>, Error> {
    // A job without a run is one row, whose columns of a run are null.
    let rows: Vec<MaybeRow> = sqlx::query_as(
        "select run.tick_time is not null as exists, coalesce(run.tick_time, job.created_at) as tick_time,
                coalesce(run.requested, false) as requested, coalesce(run.ticks, 0) as ticks,
                coalesce(run.status, '') as status, run.started_at, run.finished_at, run.published,
                coalesce(run.unchanged, 0) as unchanged, run.failed, run.error, run.outcomes::text as outcomes
         from polling_jobs job
         left join lateral (
             select *
             from polling_runs
             where polling_runs.job_id = job.job_id and tick_time < coalesce($2, 'infinity')
             order by tick_time desc
             limit $3
         ) run on true
         where job.job_id = $1 and job.pending_since is null and job.deleted_at is null
         order by run.tick_time desc",
    )
    .bind(job_id)
    .bind(before)
    .bind(limit)
    .fetch_all(executor)
    .await?;

    if rows.is_empty() {
        return Ok(None);
    }
    let runs = rows.into_iter().filter(|row| row.exists);
    runs.map(|row| row.run.try_into())
        .collect::<Result<_, _>>()
        .map(Some)
}

/// The run of a job at `time`; `None` if there is no such run or job.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn get(
    executor: impl PgExecutor<'_>,
    job_id: Uuid,
    time: Timestamp,
) -> Result<Option<Run>, Error> {
    let row: Option<Row> = sqlx::query_as(
        "select tick_time, requested, ticks, run.status, started_at, finished_at, published, unchanged, failed, error,
                outcomes::text as outcomes
         from polling_runs run
         join polling_jobs job using (job_id)
         where job_id = $1 and tick_time = $2 and pending_since is null and deleted_at is null",
    )
    .bind(job_id)
    .bind(time)
    .fetch_optional(executor)
    .await?;
    row.map(Run::try_from).transpose()
}

#[derive(FromRow)]
struct MaybeRow {
    exists: bool,
    #[sqlx(flatten)]
    run: Row,
}
