//! Creation of a job: it is prepared, invisible to every reader, and activated once it has its
//! schedule.

use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::limits::{self, JobLimits, LimitReached, Load};
use super::{NewJob, PollingJob, get};
use crate::market::{Symbol, Timestamp, to_microseconds};
use crate::repository::Error;
use crate::repository::relays::{self, Relay};
use crate::repository::transaction::BEGIN;
use crate::tick;

/// A job that waits for its schedule and its activation, or one that the same request created
/// before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The job's name.
    pub job_id: Uuid,
    /// Its first tick.
    pub start_at: Timestamp,
    /// The relay that serves it; `None` if it has a schedule of its own.
    pub relay: Option<Relay>,
    /// Whether it still has to be scheduled and activated.
    pub pending: bool,
    /// Whether the same request has prepared it before, and may have created its schedule.
    pub again: bool,
}

/// Why a job was not created.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// A limit on jobs is reached.
    #[error(transparent)]
    Limit(#[from] LimitReached),
    /// The idempotency key came with a different request in the last 24 hours.
    #[error("the idempotency key belongs to another request, which made the polling job {job_id}")]
    KeyOfAnotherRequest {
        /// The job that the other request created.
        job_id: Uuid,
    },
    /// The idempotency key came with the same request in the last 24 hours, and the job that it made
    /// is deleted.
    #[error("the idempotency key belongs to the polling job {job_id}, which is deleted")]
    KeyOfDeletedJob {
        /// The job that the request created.
        job_id: Uuid,
    },
    /// Postgres is unavailable or refuses the statement.
    #[error(transparent)]
    Repository(#[from] Error),
}

impl From<sqlx::Error> for InsertError {
    fn from(error: sqlx::Error) -> Self {
        Self::Repository(error.into())
    }
}

/// Prepares a job, unless that would exceed `limits`. If a relay has to serve it, it gets one with
/// fewer than `relay_jobs` jobs. It is invisible and is not polled before [`activate`]. So an error
/// means that no job was created, even if only the answer was lost.
///
/// A key that came with the same job in the last 24 hours returns the job of that time, under its
/// own id.
///
/// # Errors
/// When a limit is reached, the key belongs to another request or to a job that is deleted, or
/// Postgres is unavailable or refuses a statement.
pub async fn prepare(
    pool: &PgPool,
    job: &NewJob,
    idempotency_key: Option<&str>,
    limits: &JobLimits,
    relay_jobs: u32,
) -> Result<Prepared, InsertError> {
    let mut transaction = pool.begin_with(BEGIN).await?;

    // The key before the limits: a repeated request gets its job even if a limit has been reached
    // since.
    if let Some(key) = idempotency_key
        && !take_key(&mut transaction, key, job).await?
    {
        let prepared = same_request(&mut transaction, key, job, limits).await?;
        transaction.commit().await?;
        return Ok(prepared);
    }

    let added = Load::of(job.job_id, &job.symbols);
    if let Some(limit) = limits::check(&mut transaction, limits, &added).await? {
        return Err(limit.into());
    }

    let created_at = to_microseconds(job.created_at);
    let start_at = tick::start_after(created_at);
    sqlx::query(
        "insert into polling_jobs
             (job_id, symbols, provider, interval_seconds, market_hours, created_at, start_at, pending_since)
         values ($1, $2, $3, $4, $5, $6, $7, now())",
    )
    .bind(job.job_id)
    .bind(names(job))
    .bind(job.provider.to_string())
    .bind(seconds(job))
    .bind(job.market_hours)
    .bind(created_at)
    .bind(start_at)
    .execute(&mut *transaction)
    .await?;
    let relay = if tick::is_relayed(job.interval_seconds) {
        relays::settle(&mut transaction, job.job_id, relay_jobs).await?
    } else {
        None
    };

    transaction.commit().await?;
    Ok(Prepared {
        job_id: job.job_id,
        start_at,
        relay,
        pending: true,
        again: false,
    })
}

/// Makes a prepared job visible and polled; returns whether it exists. Repeating it changes
/// nothing.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn activate(executor: impl PgExecutor<'_>, job_id: Uuid) -> Result<bool, Error> {
    let activated = sqlx::query(
        "update polling_jobs set pending_since = null where job_id = $1 and deleted_at is null",
    )
    .bind(job_id)
    .execute(executor)
    .await?;
    Ok(activated.rows_affected() > 0)
}

/// Removes a prepared job and its key; returns whether it was still pending. It is not if a
/// repetition of the same request has activated it.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn withdraw(executor: impl PgExecutor<'_>, job_id: Uuid) -> Result<bool, Error> {
    let withdrawn: i64 = sqlx::query_scalar(
        "with withdrawn as (
             delete from polling_jobs where job_id = $1 and pending_since is not null returning job_id
         ), keys as (
             delete from polling_job_keys using withdrawn where polling_job_keys.job_id = withdrawn.job_id
         )
         select count(*) from withdrawn",
    )
    .bind(job_id)
    .fetch_one(executor)
    .await?;
    Ok(withdrawn > 0)
}

/// Creates a job that is active at once, without limits on jobs. The caller or reconciliation
/// creates its schedule.
///
/// # Errors
/// As [`prepare`].
pub async fn insert(
    pool: &PgPool,
    job: &NewJob,
    relay_jobs: u32,
) -> Result<PollingJob, InsertError> {
    prepare(pool, job, None, &JobLimits::NONE, relay_jobs).await?;
    activate(pool, job.job_id).await?;
    Ok(get(pool, job.job_id)
        .await?
        .ok_or(sqlx::Error::RowNotFound)?)
}

/// Whether a job exists or is being created.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn exists(executor: impl PgExecutor<'_>, job_id: Uuid) -> Result<bool, Error> {
    let query = "select exists (select from polling_jobs where job_id = $1 and deleted_at is null)";
    Ok(sqlx::query_scalar(query)
        .bind(job_id)
        .fetch_one(executor)
        .await?)
}

/// Whether a job is being created: prepared in the last ten seconds, which is longer than a request
/// takes.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn is_pending(executor: impl PgExecutor<'_>, job_id: Uuid) -> Result<bool, Error> {
    let query = "select exists (select from polling_jobs
                                where job_id = $1 and deleted_at is null
                                  and pending_since > now() - interval '10 seconds')";
    Ok(sqlx::query_scalar(query)
        .bind(job_id)
        .fetch_one(executor)
        .await?)
}

/// Records the key with its request, unless it belongs to a request of the last 24 hours. Waits for
/// a concurrent request with the same key.
async fn take_key(connection: &mut PgConnection, key: &str, job: &NewJob) -> Result<bool, Error> {
    let taken = sqlx::query(
        "insert into polling_job_keys
             (idempotency_key, job_id, symbols, provider, interval_seconds, market_hours)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (idempotency_key) do update
         set job_id = excluded.job_id, symbols = excluded.symbols, provider = excluded.provider,
             interval_seconds = excluded.interval_seconds, market_hours = excluded.market_hours,
             created_at = excluded.created_at
         where polling_job_keys.created_at < now() - interval '24 hours'",
    )
    .bind(key)
    .bind(job.job_id)
    .bind(names(job))
    .bind(job.provider.to_string())
    .bind(seconds(job))
    .bind(job.market_hours)
    .execute(connection)
    .await?;
    Ok(taken.rows_affected() > 0)
}

/// The job that the key's first request created. One that is still pending is prepared again.
async fn same_request(
    connection: &mut PgConnection,
    key: &str,
    job: &NewJob,
    limits: &JobLimits,
) -> Result<Prepared, InsertError> {
    let (job_id, same, exists): (Uuid, bool, bool) = sqlx::query_as(
        "select key.job_id,
                (key.symbols, key.provider, key.interval_seconds, key.market_hours) = ($2, $3, $4, $5),
                job.job_id is not null
         from polling_job_keys key
         left join polling_jobs job on job.job_id = key.job_id and job.deleted_at is null
         where idempotency_key = $1",
    )
    .bind(key)
    .bind(names(job))
    .bind(job.provider.to_string())
    .bind(seconds(job))
    .bind(job.market_hours)
    .fetch_one(&mut *connection)
    .await?;

    if !same {
        return Err(InsertError::KeyOfAnotherRequest { job_id });
    }
    if !exists {
        return Err(InsertError::KeyOfDeletedJob { job_id });
    }

    let pending = prepare_again(connection, job_id, job, limits).await?;
    Ok(Prepared {
        job_id,
        start_at: pending.unwrap_or(job.created_at),
        relay: relays::of_job(connection, job_id).await?,
        pending: pending.is_some(),
        again: true,
    })
}

/// Renews a job that is still pending, and returns its first tick; `None` if it is not pending. It
/// counts against the limits again, and firings wait for its activation, for as long as they do of
/// a new job.
async fn prepare_again(
    connection: &mut PgConnection,
    job_id: Uuid,
    job: &NewJob,
    limits: &JobLimits,
) -> Result<Option<Timestamp>, InsertError> {
    // The row before the advisory lock of the limits, as whoever changes a job does.
    let pending: Option<(Timestamp, bool)> = sqlx::query_as(
        "select start_at, pending_since > now() - interval '10 seconds'
         from polling_jobs
         where job_id = $1 and pending_since is not null and deleted_at is null for update",
    )
    .bind(job_id)
    .fetch_optional(&mut *connection)
    .await?;
    let Some((start_at, is_under_way)) = pending else {
        return Ok(None);
    };

    let added = Load::of(job_id, &job.symbols);
    if let Some(limit) = limits::check(connection, limits, &added).await? {
        return Err(limit.into());
    }

    // A request that is still under way schedules the first tick that it has read. One whose end is
    // long past may have left a start that EventBridge refuses.
    let created_at = to_microseconds(job.created_at);
    let first_tick = if is_under_way {
        start_at
    } else {
        tick::start_after(created_at)
    };
    sqlx::query(
        "update polling_jobs
         set pending_since = now(), start_at = $2,
             created_at = case when start_at = $2 then created_at else $3 end
         where job_id = $1",
    )
    .bind(job_id)
    .bind(first_tick)
    .bind(created_at)
    .execute(connection)
    .await?;
    Ok(Some(first_tick))
}

fn names(job: &NewJob) -> Vec<&str> {
    job.symbols.iter().map(Symbol::as_str).collect()
}

fn seconds(job: &NewJob) -> i32 {
    i32::try_from(job.interval_seconds).unwrap_or(i32::MAX)
}
