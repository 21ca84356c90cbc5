//! Relays: the schedules that fire every minute, and the jobs that each of them serves.
//!
//! A job belongs to a relay if its interval is not a multiple of a minute. It gets it by [`settle`],
//! in the transaction that creates the job or changes its interval. If the interval becomes a
//! multiple of a minute, the job no longer belongs to the relay, but the relay still serves what is
//! left of its old ticks ([`due()`]), and so the row keeps its number for a while.

use sqlx::{FromRow, PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::Error;
use super::transaction::BEGIN;
use crate::market::Timestamp;
use crate::tick::{self, Grid, MINUTE_SECONDS};

mod due;

pub use due::{DueTick, due};

/// The advisory lock that serialises changes of what belongs to which relay. The number is
/// arbitrary; no other lock of the database uses it.
const LOCK: i64 = 0x7265_6c61_796a_6f62;
/// How long a relay's first firing may be past and still begin its schedule. EventBridge refuses a
/// start that is five minutes old.
const START_AGE: chrono::TimeDelta = chrono::TimeDelta::minutes(1);

/// A relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct Relay {
    /// Its number, which is never given again.
    pub relay_id: i32,
    /// Its first firing.
    pub start_at: Timestamp,
    /// The newest firing that a poller has seen.
    pub last_firing_at: Option<Timestamp>,
}

impl Relay {
    /// The firings of its schedule.
    #[must_use]
    pub fn firings(&self) -> Grid {
        Grid::new(self.start_at, MINUTE_SECONDS)
    }

    /// The first firing of a schedule that is made `now`.
    #[must_use]
    pub fn first_firing(&self, now: Timestamp) -> Timestamp {
        if self.start_at + START_AGE > now {
            self.start_at
        } else {
            self.firings().next_from(now)
        }
    }
}

/// Gives a job, whose interval is not a multiple of a minute, a relay: the first with fewer than
/// `most_jobs` jobs, or a new one.
///
/// The caller holds the lock on the job's row, by which all changes of it are in one order.
///
/// # Errors
/// When Postgres is unavailable or refuses a statement.
pub async fn settle(
    connection: &mut PgConnection,
    job_id: Uuid,
    most_jobs: u32,
) -> Result<Option<Relay>, Error> {
    // A statement of its own, so that the counts see what the last holder of the lock committed.
    lock(&mut *connection).await?;
    sqlx::query(
        "with vacant as (
             select relay_id from relays
             where (select count(*) from polling_jobs
                    where polling_jobs.relay_id = relays.relay_id and interval_seconds % 60 <> 0
                      and deleted_at is null and job_id <> $1) < $2
             order by relay_id
             limit 1
         ), made as (
             insert into relays (start_at)
             select start_at from polling_jobs where job_id = $1 and not exists (select from vacant)
             returning relay_id
         )
         update polling_jobs
         set relay_id = coalesce((select relay_id from vacant), (select relay_id from made))
         where job_id = $1",
    )
    .bind(job_id)
    .bind(i64::from(most_jobs))
    .execute(&mut *connection)
    .await?;

    of_job(connection, job_id).await
}

/// The relay of a job that exists. One that an earlier version of the functions made has none yet,
/// and gets it as by [`settle`]. `None` if there is no such job, or it needs none.
///
/// # Errors
/// When Postgres is unavailable or refuses a statement.
pub async fn settle_existing(
    pool: &PgPool,
    job_id: Uuid,
    most_jobs: u32,
) -> Result<Option<Relay>, Error> {
    let mut transaction = pool.begin_with(BEGIN).await?;

    // The job's row before the advisory lock, as whoever changes the job does.
    let interval: Option<i32> = sqlx::query_scalar(
        "select interval_seconds from polling_jobs where job_id = $1 and deleted_at is null for update",
    )
    .bind(job_id)
    .fetch_optional(&mut *transaction)
    .await?;
    if !interval.is_some_and(|interval| tick::is_relayed(interval.unsigned_abs())) {
        return Ok(None);
    }

    let relay = match of_job(&mut *transaction, job_id).await? {
        Some(relay) => Some(relay),
        None => settle(&mut transaction, job_id, most_jobs).await?,
    };
    transaction.commit().await?;
    Ok(relay)
}

/// The jobs whose interval needs a relay and that have none.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn unsettled(executor: impl PgExecutor<'_>) -> Result<Vec<Uuid>, Error> {
    let query = "select job_id from polling_jobs
                 where interval_seconds % 60 <> 0 and relay_id is null and deleted_at is null
                 order by created_at, job_id";
    Ok(sqlx::query_scalar(query).fetch_all(executor).await?)
}

/// The relay that a job belongs to.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn of_job(executor: impl PgExecutor<'_>, job_id: Uuid) -> Result<Option<Relay>, Error> {
    let query = "select relays.* from relays join polling_jobs using (relay_id)
                 where job_id = $1 and interval_seconds % 60 <> 0";
    Ok(sqlx::query_as(query)
        .bind(job_id)
        .fetch_optional(executor)
        .await?)
}

/// A relay, if it exists.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn get(executor: impl PgExecutor<'_>, relay_id: i32) -> Result<Option<Relay>, Error> {
    Ok(sqlx::query_as("select * from relays where relay_id = $1")
        .bind(relay_id)
        .fetch_optional(executor)
        .await?)
}

/// All relays.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn list(executor: impl PgExecutor<'_>) -> Result<Vec<Relay>, Error> {
    Ok(sqlx::query_as("select * from relays order by relay_id")
        .fetch_all(executor)
        .await?)
}

/// Records a firing of a relay's schedule; the latest one is kept. Returns whether the relay exists.
/// Readers of its jobs find the firing there.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn note_firing(
    executor: impl PgExecutor<'_>,
    relay_id: i32,
    firing: Timestamp,
) -> Result<bool, Error> {
    let noted = sqlx::query(
        "update relays set last_firing_at = greatest(last_firing_at, $2) where relay_id = $1",
    )
    .bind(relay_id)
    .bind(firing)
    .execute(executor)
    .await?;
    Ok(noted.rows_affected() > 0)
}

/// Removes the relays without a job; returns their number. Their schedules are removed as those
/// that belong to nothing.
///
/// # Errors
/// When Postgres is unavailable or refuses a statement.
pub async fn remove_empty(pool: &PgPool) -> Result<u64, Error> {
    // A statement without the advisory lock, because it locks rows of jobs, and whoever changes a
    // job locks its row first. The old ticks of these jobs are long past.
    sqlx::query(
        "update polling_jobs set relay_id = null
         where relay_id is not null and interval_seconds % 60 = 0 and start_at < now() - interval '5 minutes'",
    )
    .execute(pool)
    .await?;

    let mut transaction = pool.begin_with(BEGIN).await?;
    lock(&mut transaction).await?;
    let removed = sqlx::query(
        "delete from relays
         where not exists (select from polling_jobs
                           where polling_jobs.relay_id = relays.relay_id and deleted_at is null)",
    )
    .execute(&mut *transaction)
    .await?
    .rows_affected();

    transaction.commit().await?;
    Ok(removed)
}

async fn lock(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(connection)
        .await?;
    Ok(())
}
