//! Polling jobs: what is polled, from whom, how often, and how it goes.

use sqlx::{FromRow, PgExecutor, PgPool};
use uuid::Uuid;

use super::Error;
use super::polling_runs::{LastRun, RunStatus};
use super::transaction::BEGIN;
use crate::market::{NameError, ProviderName, Symbol, Timestamp, to_microseconds};
use crate::tick::{self, Grid};

mod status;

pub use status::JobStatus;

/// Serialises the counting of jobs against their limit; any number that nothing else in the database uses.
const RELAY_LIMIT_LOCK: i64 = 0x706f_6c6c_7265_6c61;

/// Stalled jobs that are named; more are only counted.
pub const SHOWN: i64 = 5;

/// A job to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// Its name, also that of its schedule.
    pub job_id: Uuid,
    /// What is polled.
    pub symbols: Vec<Symbol>,
    /// Who is asked.
    pub provider: ProviderName,
    /// Seconds between ticks, 1 to 86,400.
    pub interval_seconds: u32,
    /// When it was asked for; its first tick is at the next whole second.
    pub created_at: Timestamp,
}

/// A job as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollingJob {
    /// Its name, also that of its schedule.
    pub job_id: Uuid,
    /// What is polled.
    pub symbols: Vec<Symbol>,
    /// Who is asked.
    pub provider: ProviderName,
    /// Seconds between ticks.
    pub interval_seconds: u32,
    /// The first tick.
    pub start_at: Timestamp,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// The newest firing of its schedule that a poller has seen.
    pub last_firing_at: Option<Timestamp>,
    /// Runs in a row that published nothing.
    pub consecutive_failures: u32,
    /// Ticks before this are skipped.
    pub backing_off_until: Option<Timestamp>,
    /// After this the next run is overdue. It moves on with each run, and with each back-off.
    pub overdue_at: Timestamp,
    /// The newest run that is over.
    pub last_run: Option<LastRun>,
}

impl PollingJob {
    /// The job's ticks.
    #[must_use]
    pub fn grid(&self) -> Grid {
        Grid::new(self.start_at, self.interval_seconds)
    }

    /// The next tick that will be polled.
    #[must_use]
    pub fn next_tick_at(&self, now: Timestamp) -> Timestamp {
        let next = self.grid().next_after(now);
        self.backing_off_until.map_or(next, |until| next.max(self.grid().next_from(until)))
    }
}

/// Why a job was not created.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// There may be no more jobs whose interval is not a multiple of a minute: each keeps a poller busy.
    #[error("there are already {limit} polling jobs whose interval is not a multiple of 60 seconds")]
    TooManyRelayJobs {
        /// How many there may be.
        limit: u32,
    },
    /// Postgres is away or refuses.
    #[error(transparent)]
    Repository(#[from] Error),
}

impl From<sqlx::Error> for InsertError {
    fn from(error: sqlx::Error) -> Self {
        Self::Repository(error.into())
    }
}

#[derive(FromRow)]
struct JobRow {
    job_id: Uuid,
    symbols: Vec<String>,
    provider: String,
    interval_seconds: i32,
    start_at: Timestamp,
    created_at: Timestamp,
    last_firing_at: Option<Timestamp>,
    consecutive_failures: i32,
    backing_off_until: Option<Timestamp>,
    overdue_at: Timestamp,
    run_tick_time: Option<Timestamp>,
    run_status: Option<String>,
    run_published: Option<i32>,
    run_failed: Option<i32>,
    run_error: Option<String>,
}

impl TryFrom<JobRow> for PollingJob {
    type Error = Error;

    fn try_from(row: JobRow) -> Result<Self, Error> {
        let unreadable = |error: NameError| Error::from(sqlx::Error::Decode(Box::new(error)));
        let last_run = match (row.run_tick_time, row.run_status) {
            (Some(tick_time), Some(status)) => Some(LastRun {
                tick_time,
                status: RunStatus::read(&status)?,
                published: row.run_published.unwrap_or(0).unsigned_abs(),
                failed: row.run_failed.unwrap_or(0).unsigned_abs(),
                error: row.run_error,
            }),
            _ => None,
        };
        Ok(Self {
            job_id: row.job_id,
            symbols: row
                .symbols
                .into_iter()
                .map(Symbol::try_from)
                .collect::<Result<_, _>>()
                .map_err(unreadable)?,
            provider: row.provider.try_into().map_err(unreadable)?,
            interval_seconds: row.interval_seconds.unsigned_abs(),
            start_at: row.start_at,
            created_at: row.created_at,
            last_firing_at: row.last_firing_at,
            consecutive_failures: row.consecutive_failures.unsigned_abs(),
            backing_off_until: row.backing_off_until,
            overdue_at: row.overdue_at,
            last_run,
        })
    }
}

/// Creates a job, unless it has to be relayed and there are `max_relay_jobs` of that kind.
///
/// # Errors
/// When the limit is reached, or Postgres is away or refuses.
pub async fn insert(pool: &PgPool, job: &NewJob, max_relay_jobs: u32) -> Result<PollingJob, InsertError> {
    let created_at = to_microseconds(job.created_at);
    let start_at = tick::start_after(created_at);
    let mut transaction = pool.begin_with(BEGIN).await?;
    if tick::is_relayed(job.interval_seconds) {
        sqlx::query("select pg_advisory_xact_lock($1)")
            .bind(RELAY_LIMIT_LOCK)
            .execute(&mut *transaction)
            .await?;
        let relay_jobs: i64 =
            sqlx::query_scalar("select count(*) from polling_jobs where interval_seconds % 60 <> 0")
                .fetch_one(&mut *transaction)
                .await?;
        if relay_jobs >= i64::from(max_relay_jobs) {
            return Err(InsertError::TooManyRelayJobs { limit: max_relay_jobs });
        }
    }
    sqlx::query(
        "insert into polling_jobs (job_id, symbols, provider, interval_seconds, created_at, start_at)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(job.job_id)
    .bind(job.symbols.iter().map(Symbol::as_str).collect::<Vec<_>>())
    .bind(job.provider.as_str())
    .bind(i32::try_from(job.interval_seconds).unwrap_or(i32::MAX))
    .bind(created_at)
    .bind(start_at)
    .execute(&mut *transaction)
    .await?;
    let inserted = get(&mut *transaction, job.job_id).await?.ok_or(sqlx::Error::RowNotFound)?;
    transaction.commit().await?;
    Ok(inserted)
}

/// A job, if it exists.
///
/// # Errors
/// When Postgres is away or refuses.
pub async fn get(executor: impl PgExecutor<'_>, job_id: Uuid) -> Result<Option<PollingJob>, Error> {
    let row: Option<JobRow> = sqlx::query_as("select * from polling_job_states where job_id = $1")
        .bind(job_id)
        .fetch_optional(executor)
        .await?;
    row.map(PollingJob::try_from).transpose()
}

/// Up to `limit` jobs in the order of their creation, beginning after the one that `after` names by its creation
/// time and id.
///
/// # Errors
/// When Postgres is away or refuses.
pub async fn list(
    executor: impl PgExecutor<'_>,
    after: Option<(Timestamp, Uuid)>,
    limit: i64,
) -> Result<Vec<PollingJob>, Error> {
    let (created_at, job_id) = after.unzip();
    let rows: Vec<JobRow> = sqlx::query_as(
        "select * from polling_job_states
         where $1::timestamptz is null or (created_at, job_id) > ($1, $2)
         order by created_at, job_id
         limit $3",
    )
    .bind(created_at)
    .bind(job_id)
    .bind(limit)
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(PollingJob::try_from).collect()
}

/// The jobs whose next run is overdue at `now`: how many, and the ids of the [`SHOWN`] that are overdue longest.
///
/// # Errors
/// When Postgres is away or refuses.
pub async fn stalled(executor: impl PgExecutor<'_>, now: Timestamp) -> Result<(u64, Vec<Uuid>), Error> {
    let (count, first): (i64, Vec<Uuid>) = sqlx::query_as(
        "with stalled as materialized (
             select job_id, overdue_at from polling_job_deadlines where overdue_at < $1
         )
         select (select count(*) from stalled),
                array(select job_id from stalled order by overdue_at, job_id limit $2)",
    )
    .bind(now)
    .bind(SHOWN)
    .fetch_one(executor)
    .await?;
    Ok((count.unsigned_abs(), first))
}

/// Deletes a job with its runs; returns whether it existed.
///
/// # Errors
/// When Postgres is away or refuses.
pub async fn delete(executor: impl PgExecutor<'_>, job_id: Uuid) -> Result<bool, Error> {
    let deleted =
        sqlx::query("delete from polling_jobs where job_id = $1").bind(job_id).execute(executor).await?;
    Ok(deleted.rows_affected() > 0)
}

/// Notes a firing of the job's schedule, of which the greatest stands. A job that is gone is not an error.
///
/// # Errors
/// When Postgres is away or refuses.
pub async fn note_firing(
    executor: impl PgExecutor<'_>,
    job_id: Uuid,
    firing: Timestamp,
) -> Result<(), Error> {
    sqlx::query("update polling_jobs set last_firing_at = greatest(last_firing_at, $2) where job_id = $1")
        .bind(job_id)
        .bind(firing)
        .execute(executor)
        .await?;
    Ok(())
}
