//! Runs that a request asks for. They are no ticks: their time is that of the request, which is
//! never a whole second.

use chrono::TimeDelta;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::locked_job::lock_job;
use super::{Error, RunStatus};
use crate::market::{Timestamp, to_microseconds};
use crate::repository::transaction::BEGIN;

/// A run that still waits for a poller serves further requests for this long. So many requests at
/// once make one run, and a request that is sent again takes the run of the first one.
const SHARED_FOR: TimeDelta = TimeDelta::seconds(10);
/// How long after its request a run is closed if no poller has ended it. Lambda keeps an invocation
/// of the poller for an hour.
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(1);

/// A run that a request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestedRun {
    /// When it was asked for, which is the time of the run.
    pub time: Timestamp,
    /// Its state. A poller has to be invoked while it is [`RunStatus::Requested`].
    pub status: RunStatus,
}

/// Why no run was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The idempotency key came with a request for a run of another job in the last 24 hours.
    #[error("the idempotency key belongs to a request for a run of the polling job {job_id}")]
    KeyOfAnotherRequest {
        /// The other job.
        job_id: Uuid,
    },
    /// Postgres is unavailable or refuses a statement.
    #[error(transparent)]
    Repository(#[from] Error),
}

impl From<sqlx::Error> for RequestError {
    fn from(error: sqlx::Error) -> Self {
        Self::Repository(error.into())
    }
}

/// Asks at `now` for a run of a job; `None` if there is no such job. The caller then invokes a
/// poller. If it cannot, the run waits, and the same request takes it again.
///
/// A key that came with a request for this job in the last 24 hours returns the run of that time.
///
/// # Errors
/// When the key belongs to another job, or Postgres is unavailable or refuses a statement.
pub async fn request(
    pool: &PgPool,
    job_id: Uuid,
    idempotency_key: Option<&str>,
    now: Timestamp,
) -> Result<Option<RequestedRun>, RequestError> {
    let mut transaction = pool.begin_with(BEGIN).await?;

    // The lock serialises the requests for one job, so that they find each other's run.
    if lock_job(&mut transaction, job_id).await?.is_none() {
        return Ok(None);
    }

    let earlier = match idempotency_key {
        Some(key) => of_key(&mut transaction, job_id, key).await?,
        None => None,
    };
    let run = match earlier {
        Some(run) => run,
        None => waiting_or_new(&mut transaction, job_id, now).await?,
    };

    if let Some(key) = idempotency_key.filter(|_| earlier.is_none()) {
        keep_key(&mut transaction, job_id, key, run.time).await?;
    }
    transaction.commit().await?;
    Ok(Some(run))
}

/// The run that the key's request asked for in the last 24 hours.
async fn of_key(
    connection: &mut PgConnection,
    job_id: Uuid,
    key: &str,
) -> Result<Option<RequestedRun>, RequestError> {
    let row: Option<(Uuid, Timestamp, Option<String>)> = sqlx::query_as(
        "select key.job_id, key.tick_time, run.status
         from polling_run_keys key
         left join polling_runs run on run.job_id = key.job_id and run.tick_time = key.tick_time
         where idempotency_key = $1 and created_at >= now() - interval '24 hours'",
    )
    .bind(key)
    .fetch_optional(connection)
    .await?;

    match row {
        None => Ok(None),
        Some((other, ..)) if other != job_id => {
            Err(RequestError::KeyOfAnotherRequest { job_id: other })
        }
        Some((_, time, status)) => {
            let status = status.map(|status| RunStatus::read(&status)).transpose()?;
            // Runs are kept for longer than keys, so one that is missing is not expected.
            Ok(status.map(|status| RequestedRun { time, status }))
        }
    }
}

/// The newest run that was asked for a moment ago and waits, or a new one.
async fn waiting_or_new(
    connection: &mut PgConnection,
    job_id: Uuid,
    now: Timestamp,
) -> Result<RequestedRun, RequestError> {
    let status = RunStatus::Requested;
    let waiting: Option<Timestamp> = sqlx::query_scalar(
        "select max(tick_time) from polling_runs
         where job_id = $1 and requested and finished_at is null and status = 'requested' and tick_time > $2",
    )
    .bind(job_id)
    .bind(now - SHARED_FOR)
    .fetch_one(&mut *connection)
    .await?;
    if let Some(time) = waiting {
        return Ok(RequestedRun { time, status });
    }

    let mut time = not_whole(to_microseconds(now));
    while !insert(connection, job_id, time).await? {
        time = not_whole(time + TimeDelta::microseconds(1));
    }
    Ok(RequestedRun { time, status })
}

/// This time or, if it is a whole second, the microsecond after it.
fn not_whole(time: Timestamp) -> Timestamp {
    if time.timestamp_subsec_micros() == 0 {
        time + TimeDelta::microseconds(1)
    } else {
        time
    }
}

/// Inserts a run of this time; returns whether there was none yet.
async fn insert(
    connection: &mut PgConnection,
    job_id: Uuid,
    time: Timestamp,
) -> Result<bool, Error> {
    let inserted = sqlx::query(
        "insert into polling_runs (job_id, tick_time, status, requested) values ($1, $2, 'requested', true)
         on conflict do nothing",
    )
    .bind(job_id)
    .bind(time)
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() > 0)
}

async fn keep_key(
    connection: &mut PgConnection,
    job_id: Uuid,
    key: &str,
    time: Timestamp,
) -> Result<(), RequestError> {
    // A request for another job may have brought the same key meanwhile: its job's row is another
    // one, so the lock did not keep it out.
    let kept = sqlx::query(
        "insert into polling_run_keys (idempotency_key, job_id, tick_time) values ($1, $2, $3)
         on conflict (idempotency_key) do update
         set job_id = excluded.job_id, tick_time = excluded.tick_time, created_at = excluded.created_at
         where polling_run_keys.created_at < now() - interval '24 hours'
            or polling_run_keys.job_id = excluded.job_id",
    )
    .bind(key)
    .bind(job_id)
    .bind(time)
    .execute(&mut *connection)
    .await?;
    if kept.rows_affected() > 0 {
        return Ok(());
    }

    let query = "select job_id from polling_run_keys where idempotency_key = $1";
    let job_id = sqlx::query_scalar(query)
        .bind(key)
        .fetch_one(connection)
        .await?;
    Err(RequestError::KeyOfAnotherRequest { job_id })
}

/// Closes requested runs that no poller has ended an hour after their request, and removes keys
/// after 24 hours; returns the number of runs.
///
/// # Errors
/// When Postgres is unavailable or refuses a statement.
pub async fn close_unserved(pool: &PgPool, now: Timestamp) -> Result<u64, Error> {
    let closed = sqlx::query(
        "update polling_runs
         set status = 'abandoned', finished_at = $1, lease_until = null,
             error = case status
                 when 'requested' then 'no poller took the run within an hour: the poller''s log says why'
                 else 'the poller ended before the run did'
             end
         where requested and finished_at is null and tick_time < $2 and (lease_until is null or lease_until < $1)",
    )
    .bind(to_microseconds(now))
    .bind(now - LONGEST_WAIT)
    .execute(pool)
    .await?;

    sqlx::query("delete from polling_run_keys where created_at < now() - interval '24 hours'")
        .execute(pool)
        .await?;
    Ok(closed.rows_affected())
}
