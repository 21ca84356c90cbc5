//! Changes of a job that exists.
//!
//! A change of the interval begins a new grid of ticks at the next whole second, as a creation
//! does. Ticks of the old grid up to then that no poller took are recorded before, so every tick of
//! both grids is in exactly one row.

use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::limits::{self, JobLimits, LimitReached, Load, count};
use super::{JobStatus, PollingJob, get};
use crate::market::{ProviderList, Symbol, Timestamp, to_microseconds};
use crate::repository::Error;
use crate::repository::polling_runs::{LockedJob, gaps, lock_job};
use crate::repository::relays;
use crate::repository::transaction::BEGIN;
use crate::tick;

/// What changes; `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// What is polled.
    pub symbols: Option<Vec<Symbol>>,
    /// The provider that is polled.
    pub provider: Option<ProviderList>,
    /// Seconds between ticks, 1 to 86,400.
    pub interval_seconds: Option<u32>,
    /// Whether symbols whose market is closed are left out.
    pub market_hours: Option<bool>,
}

/// Why a job was not changed: nothing of it is.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A limit on jobs would be exceeded.
    #[error(transparent)]
    Limit(#[from] LimitReached),
    /// Postgres is unavailable or refuses a statement.
    #[error(transparent)]
    Repository(#[from] Error),
}

impl From<sqlx::Error> for ChangeError {
    fn from(error: sqlx::Error) -> Self {
        Self::Repository(error.into())
    }
}

/// A change that is written, and invisible to others until its commit. Dropping it undoes it.
#[derive(Debug)]
#[must_use]
pub struct Uncommitted<T> {
    pub(super) transaction: Transaction<'static, Postgres>,
    pub(super) job_id: Uuid,
    pub(super) changed: T,
}

impl<T> Uncommitted<T> {
    /// Commits the change, and returns what it changed.
    ///
    /// # Errors
    /// When Postgres does not tell whether it committed: the change may be made or not. So it may
    /// if this future is dropped.
    pub async fn commit(self) -> Result<T, Error> {
        let job_id = self.job_id;
        self.transaction.commit().await.inspect_err(|error| {
            tracing::warn!(%job_id, %error, "a change of job {job_id} was not acknowledged");
        })?;
        Ok(self.changed)
    }
}

/// A job before and after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The job as it was.
    pub before: PollingJob,
    /// The job as it is.
    pub after: PollingJob,
}

/// Changes a job at `now`, unless that would exceed `limits`; `None` if there is no such job. If
/// its new interval needs a relay, it gets one with fewer than `relay_jobs` jobs. Making a change
/// again changes nothing.
///
/// Pollers read a job after they have claimed a tick, so a change takes effect at the next one.
/// Another provider, other symbols and another interval end a back-off, which is that of the
/// configuration that failed.
///
/// # Errors
/// When a limit would be exceeded, or Postgres is unavailable or refuses a statement.
pub async fn change(
    pool: &PgPool,
    job_id: Uuid,
    change: &Change,
    limits: &JobLimits,
    relay_jobs: u32,
    now: Timestamp,
) -> Result<Option<Uncommitted<Changed>>, ChangeError> {
    let mut transaction = pool.begin_with(BEGIN).await?;
    let Some(locked) = lock_job(&mut transaction, job_id).await? else {
        return Ok(None);
    };
    let Some(before) = get(&mut *transaction, job_id).await? else {
        return Ok(None);
    };

    let mut after = before.clone();
    after.symbols = change.symbols.clone().unwrap_or(after.symbols);
    after.provider = change.provider.clone().unwrap_or(after.provider);
    after.interval_seconds = change.interval_seconds.unwrap_or(after.interval_seconds);
    after.market_hours = change.market_hours.unwrap_or(after.market_hours);
    if after == before {
        return Ok(Some(Uncommitted {
            transaction,
            job_id,
            changed: Changed { before, after },
        }));
    }

    if let Some(limit) = exceeded(&mut transaction, limits, &before, &after).await? {
        return Err(limit.into());
    }

    if after.interval_seconds != before.interval_seconds {
        after.start_at = tick::start_after(now);
    }
    record_old_ticks(&mut transaction, &locked, &before, &after, now).await?;
    write(&mut transaction, &before, &after, now).await?;
    if after.grid().is_relayed() && !before.grid().is_relayed() {
        relays::settle(&mut transaction, job_id, relay_jobs).await?;
    }

    let after = get(&mut *transaction, job_id).await?;
    Ok(after.map(|after| Uncommitted {
        transaction,
        job_id,
        changed: Changed { before, after },
    }))
}

/// The limit that the changed job would exceed. What a job has already counts as allowed, even if a
/// limit was lowered since.
async fn exceeded(
    connection: &mut PgConnection,
    limits: &JobLimits,
    before: &PollingJob,
    after: &PollingJob,
) -> Result<Option<LimitReached>, Error> {
    let symbols = count(&after.symbols);
    let load = Load {
        job_id: before.job_id,
        is_new: false,
        symbols: Some(symbols).filter(|symbols| *symbols > count(&before.symbols)),
    };

    if load.symbols.is_none() {
        return Ok(None);
    }
    limits::check(connection, limits, &load).await
}

/// Records the ticks up to `now` that no poller took, if the change ends their grid, and those that
/// were skipped. The other ones are left to the next claim: until then the job is stalled if it was.
async fn record_old_ticks(
    connection: &mut PgConnection,
    locked: &LockedJob,
    before: &PollingJob,
    after: &PollingJob,
    now: Timestamp,
) -> Result<(), Error> {
    let newest_tick = locked.grid.newest_at(now);

    // If what they were skipped for ends now, nothing tells later why nobody polled them.
    if after.start_at == before.start_at {
        return match newest_tick {
            Some(newest_tick) => gaps::record_skipped(connection, locked, newest_tick).await,
            None => Ok(()),
        };
    }

    // The newest tick gets a row of its own, or none: a poller may be about to claim it, and it
    // takes a single missed tick over.
    if let Some(newest_tick) = newest_tick {
        gaps::record(connection, locked, newest_tick).await?;
    }
    gaps::record(connection, locked, after.start_at).await
}

async fn write(
    connection: &mut PgConnection,
    before: &PollingJob,
    after: &PollingJob,
    now: Timestamp,
) -> Result<(), Error> {
    let polls_other = after.symbols != before.symbols || after.provider != before.provider;
    let opens_again = polls_other || after.market_hours != before.market_hours;
    let begins_anew = after.start_at != before.start_at;

    // What failed has not failed at the new interval, and a tick of it may be long before the end of
    // a back-off that was counted in the old one. The count of failures stays for the next one.
    let ends_back_off = polls_other || begins_anew;
    let was_active = match before.status(now) {
        JobStatus::BackingOff => !ends_back_off,
        JobStatus::Stalled => !begins_anew,
        JobStatus::Active | JobStatus::Paused => true,
    };
    let names: Vec<&str> = after.symbols.iter().map(Symbol::as_str).collect();

    sqlx::query(
        "update polling_jobs
         set symbols = $2, provider = $3, interval_seconds = $4, market_hours = $5, start_at = $6,
             configuration = configuration + 1,
             active_since = coalesce($7, active_since),
             consecutive_failures = case when $8 then 0 else consecutive_failures end,
             backing_off_until = case when not $9 then backing_off_until end,
             backing_off_since = case when not $9 then backing_off_since end,
             closed_markets = case when not $10 then closed_markets end,
             closed_until = case when not $10 then closed_until end
         where job_id = $1",
    )
    .bind(after.job_id)
    .bind(names)
    .bind(after.provider.to_string())
    .bind(i32::try_from(after.interval_seconds).unwrap_or(i32::MAX))
    .bind(after.market_hours)
    .bind(after.start_at)
    .bind((!was_active).then(|| to_microseconds(now)))
    .bind(polls_other)
    .bind(ends_back_off)
    .bind(opens_again)
    .execute(connection)
    .await?;
    Ok(())
}
