//! Polling jobs: what is polled, from which provider, how often, and with what result.

use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

use super::Error;
use super::polling_runs::{LastRun, RunStatus};
use crate::market::{ProviderList, Symbol, Timestamp};
use crate::tick::Grid;

mod change;
mod closed_markets;
mod creation;
mod limits;
mod many;
mod pause;
pub mod removal;
mod search;
mod status;

pub use change::{Change, ChangeError, Changed, Uncommitted, change};
pub use closed_markets::ClosedMarkets;
pub use creation::{
    InsertError, Prepared, activate, exists, insert, is_pending, prepare, withdraw,
};
pub use limits::{JobLimits, LimitReached};
pub use many::get_all;
pub use pause::{pause, resume};
pub use search::{Filter, search};
pub use status::JobStatus;

/// Number of stalled jobs that are named; others are only counted.
pub const SHOWN: i64 = 5;

/// A job to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// Its name, also that of its schedule.
    pub job_id: Uuid,
    /// What is polled.
    pub symbols: Vec<Symbol>,
    /// The providers that are polled, in the order in which they are asked.
    pub provider: ProviderList,
    /// Seconds between ticks, 1 to 86,400.
    pub interval_seconds: u32,
    /// Whether symbols whose market is closed are left out.
    pub market_hours: bool,
    /// When it was requested; its first tick is at the next whole second.
    pub created_at: Timestamp,
}

/// A job with its current state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollingJob {
    /// Its name, also that of its schedule.
    pub job_id: Uuid,
    /// What is polled.
    pub symbols: Vec<Symbol>,
    /// The providers that are polled, in the order in which they are asked.
    pub provider: ProviderList,
    /// Seconds between ticks.
    pub interval_seconds: u32,
    /// Whether symbols whose market is closed are left out.
    pub market_hours: bool,
    /// The time of the first tick at this interval.
    pub start_at: Timestamp,
    /// When it was requested.
    pub created_at: Timestamp,
    /// The newest firing of its schedule that a poller has seen.
    pub last_firing_at: Option<Timestamp>,
    /// Consecutive runs that published nothing.
    pub consecutive_failures: u32,
    /// Ticks before this are skipped.
    pub backing_off_until: Option<Timestamp>,
    /// Since when it has been backing off; `None` while it does not.
    pub backing_off_since: Option<Timestamp>,
    /// Since when it is polled at its interval again, after a pause, a back-off or a stall.
    pub active_since: Option<Timestamp>,
    /// When it was paused; `None` while it is not.
    pub paused_at: Option<Timestamp>,
    /// The symbols that are left out, because their market is closed.
    pub closed_markets: ClosedMarkets,
    /// Ticks before this are skipped, because the markets of all symbols are closed.
    pub closed_until: Option<Timestamp>,
    /// When the next run becomes overdue; `None` while the job is paused. Each run and each
    /// back-off moves it.
    pub overdue_at: Option<Timestamp>,
    /// The number of its configuration, which each change and each end of a pause raises.
    pub configuration: i32,
    /// The newest run that has ended.
    pub last_run: Option<LastRun>,
}

impl PollingJob {
    /// The job's ticks.
    #[must_use]
    pub fn grid(&self) -> Grid {
        Grid::new(self.start_at, self.interval_seconds)
    }

    /// The next tick that will be polled, unless the job is paused.
    #[must_use]
    pub fn next_tick_at(&self, now: Timestamp) -> Timestamp {
        let next = self.grid().next_after(now);
        self.skips_until()
            .map_or(next, |until| next.max(self.grid().next_from(until)))
    }

    /// Until when ticks are skipped: while the job backs off, or the markets of all its symbols are
    /// closed.
    #[must_use]
    pub fn skips_until(&self) -> Option<Timestamp> {
        self.backing_off_until.max(self.closed_until)
    }
}

#[derive(FromRow)]
struct JobRow {
    job_id: Uuid,
    symbols: Vec<String>,
    provider: String,
    interval_seconds: i32,
    market_hours: bool,
    start_at: Timestamp,
    created_at: Timestamp,
    last_firing_at: Option<Timestamp>,
    consecutive_failures: i32,
    backing_off_until: Option<Timestamp>,
    backing_off_since: Option<Timestamp>,
    active_since: Option<Timestamp>,
    paused_at: Option<Timestamp>,
    closed_markets: Option<String>,
    closed_until: Option<Timestamp>,
    overdue_at: Option<Timestamp>,
    configuration: i32,
    run_tick_time: Option<Timestamp>,
    run_status: Option<String>,
    run_published: Option<i32>,
    run_unchanged: Option<i32>,
    run_failed: Option<i32>,
    run_error: Option<String>,
}

impl TryFrom<JobRow> for PollingJob {
    type Error = Error;

    fn try_from(row: JobRow) -> Result<Self, Error> {
        let last_run = match (row.run_tick_time, row.run_status) {
            (Some(tick_time), Some(status)) => Some(LastRun {
                tick_time,
                status: RunStatus::read(&status)?,
                published: row.run_published.unwrap_or(0).unsigned_abs(),
                unchanged: row.run_unchanged.unwrap_or(0).unsigned_abs(),
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
            market_hours: row.market_hours,
            start_at: row.start_at,
            created_at: row.created_at,
            last_firing_at: row.last_firing_at,
            consecutive_failures: row.consecutive_failures.unsigned_abs(),
            backing_off_until: row.backing_off_until,
            backing_off_since: row.backing_off_since,
            active_since: row.active_since,
            paused_at: row.paused_at,
            closed_markets: ClosedMarkets::read(row.closed_markets.as_deref()),
            closed_until: row.closed_until,
            overdue_at: row.overdue_at,
            configuration: row.configuration,
            last_run,
        })
    }
}

/// The error of a stored text that is not what its column holds.
fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    sqlx::Error::Decode(Box::new(error)).into()
}

/// A job, if it exists.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn get(executor: impl PgExecutor<'_>, job_id: Uuid) -> Result<Option<PollingJob>, Error> {
    let row: Option<JobRow> = sqlx::query_as("select * from polling_job_states where job_id = $1")
        .bind(job_id)
        .fetch_optional(executor)
        .await?;
    row.map(PollingJob::try_from).transpose()
}

/// Up to `limit` jobs in the order of their creation, beginning after the one that `after` names by
/// its creation time and id.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
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

/// The jobs whose next run is overdue at `now`: their number, and the ids of the [`SHOWN`] that
/// have been overdue longest.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn stalled(
    executor: impl PgExecutor<'_>,
    now: Timestamp,
) -> Result<(u64, Vec<Uuid>), Error> {
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

/// Marks a job as deleted; returns whether it existed. From then on no read returns it, and no tick
/// of it is claimed. Its runs may be very many; [`removal::remove_marked`] deletes them.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn delete(executor: impl PgExecutor<'_>, job_id: Uuid) -> Result<bool, Error> {
    let marked = sqlx::query(
        "update polling_jobs set deleted_at = now()
         where job_id = $1 and pending_since is null and deleted_at is null",
    )
    .bind(job_id)
    .execute(executor)
    .await?;
    Ok(marked.rows_affected() > 0)
}

/// Records a firing of the job's schedule; the latest one is kept. A missing job is not an error.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn note_firing(
    executor: impl PgExecutor<'_>,
    job_id: Uuid,
    firing: Timestamp,
) -> Result<(), Error> {
    sqlx::query(
        "update polling_jobs set last_firing_at = greatest(last_firing_at, $2) where job_id = $1",
    )
    .bind(job_id)
    .bind(firing)
    .execute(executor)
    .await?;
    Ok(())
}
