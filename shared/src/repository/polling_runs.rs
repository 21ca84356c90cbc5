//! Polling runs: which poller polls which tick, and with what result.
//!
//! A poller claims a run by inserting its row with a lease. All writes about a job's ticks, except
//! renewals of a lease, hold the lock on the job's row, so claims of one job are serialised.

use std::time::Duration;

use serde::Serialize;
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::Error;
use super::transaction::BEGIN;
use crate::market::{Timestamp, to_microseconds};
use crate::tick::{self, Gap, Grid};

mod expiry;

pub use expiry::delete_before;

/// How long a claim is valid without renewal.
pub const LEASE: Duration = Duration::from_secs(30);
/// Longest error text that is stored, in characters.
const MAX_ERROR_LENGTH: usize = 500;

/// The state of a tick, or its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// It is being polled.
    Running,
    /// Every symbol was published.
    Succeeded,
    /// Some symbols were published.
    Partial,
    /// Nothing was published.
    Failed,
    /// Its poller stopped renewing the lease.
    Abandoned,
    /// No poller polled it.
    Missed,
    /// No poller polled it, because the job was backing off.
    Skipped,
}

/// The newest run of a job that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastRun {
    /// Its tick.
    pub tick_time: Timestamp,
    /// The run's result.
    pub status: RunStatus,
    /// Symbols whose event was acknowledged.
    pub published: u32,
    /// All other symbols.
    pub failed: u32,
    /// The first error; safe to show.
    pub error: Option<String>,
}

/// The right to poll a tick, for as long as its lease is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The job.
    pub job_id: Uuid,
    /// The tick.
    pub tick_time: Timestamp,
    /// Distinguishes this claim from one that takes the tick over.
    pub claim_id: Uuid,
}

impl Claim {
    /// A new claim. Repeating [`claim`] with it has the effect of one.
    #[must_use]
    pub fn new(job_id: Uuid, tick_time: Timestamp) -> Self {
        Self {
            job_id,
            tick_time,
            claim_id: Uuid::new_v4(),
        }
    }
}

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The claim holds.
    Claimed,
    /// Another poller holds the tick; its lease ends at this time unless renewed.
    Held(Timestamp),
    /// Another poller has polled the tick, or it was recorded as missed or skipped with others.
    Taken,
    /// The job skips ticks before this time.
    BackingOff(Timestamp),
    /// The job does not exist, or is deleted.
    NoSuchJob,
}

/// The result of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunResult {
    /// Symbols whose event was acknowledged.
    pub published: u32,
    /// All other symbols.
    pub failed: u32,
    /// The first error; safe to show.
    pub error: Option<String>,
    /// How long the provider asked to wait.
    pub retry_after: Option<Duration>,
}

impl RunResult {
    /// The status that follows from the counts.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        match (self.published, self.failed) {
            (0, _) => RunStatus::Failed,
            (_, 0) => RunStatus::Succeeded,
            _ => RunStatus::Partial,
        }
    }
}

impl RunStatus {
    /// The word used in the database and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
            Self::Missed => "missed",
            Self::Skipped => "skipped",
        }
    }

    pub(super) fn read(word: &str) -> Result<Self, Error> {
        [
            Self::Running,
            Self::Succeeded,
            Self::Partial,
            Self::Failed,
            Self::Abandoned,
            Self::Missed,
            Self::Skipped,
        ]
        .into_iter()
        .find(|status| status.as_str() == word)
        .ok_or_else(|| sqlx::Error::Decode("not a run's status".into()).into())
    }
}

/// Claims a tick at `now`, records the ticks before it that no poller polled, and closes runs whose
/// lease has expired. It may be repeated with the same claim if its answer was lost.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn claim(pool: &PgPool, claim: &Claim, now: Timestamp) -> Result<ClaimOutcome, Error> {
    let &Claim {
        job_id, tick_time, ..
    } = claim;
    let mut transaction = pool.begin_with(BEGIN).await?;

    // The job's row is locked first: what follows then sees what the last claim of this job
    // committed.
    let Some(job) = lock_job(&mut transaction, job_id).await? else {
        return Ok(ClaimOutcome::NoSuchJob);
    };

    if let Some(until) = job.backing_off_until.filter(|until| tick_time < *until) {
        return Ok(ClaimOutcome::BackingOff(until));
    }

    let newest = newest_recorded(&mut transaction, job_id, &job.grid).await?;
    let outcome = if newest.is_some_and(|newest| tick_time <= newest) {
        take_over(&mut transaction, claim, now).await?
    } else {
        close_abandoned(&mut transaction, job_id, now).await?;
        record_gap(&mut transaction, &job, job_id, newest, tick_time).await?;
        insert(&mut transaction, claim, now).await?;
        ClaimOutcome::Claimed
    };

    transaction.commit().await?;
    Ok(outcome)
}

/// Renews a claim's lease; returns whether the claim still holds. A claim of a deleted job does
/// not.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn renew(
    executor: impl PgExecutor<'_>,
    claim: &Claim,
    now: Timestamp,
) -> Result<bool, Error> {
    let renewed = sqlx::query(
        "update polling_runs set lease_until = $4
         where job_id = $1 and tick_time = $2 and claim_id = $3 and status = 'running'
           and exists (select from polling_jobs where job_id = $1 and deleted_at is null)",
    )
    .bind(claim.job_id)
    .bind(claim.tick_time)
    .bind(claim.claim_id)
    .bind(to_microseconds(now + LEASE))
    .execute(executor)
    .await?;
    Ok(renewed.rows_affected() > 0)
}

/// Closes a run and updates its job's back-off; returns whether the claim still held.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn finish(
    pool: &PgPool,
    claim: &Claim,
    result: &RunResult,
    now: Timestamp,
) -> Result<bool, Error> {
    let mut transaction = pool.begin_with(BEGIN).await?;

    // Locked before its run is written, as in `claim`, so that the count of failures cannot change
    // meanwhile.
    let Some(job) = lock_job(&mut transaction, claim.job_id).await? else {
        return Ok(false);
    };

    let finished = sqlx::query(
        "update polling_runs
         set status = $4, finished_at = $5, published = $6, failed = $7, error = $8, lease_until = null
         where job_id = $1 and tick_time = $2 and claim_id = $3 and status = 'running'",
    )
    .bind(claim.job_id)
    .bind(claim.tick_time)
    .bind(claim.claim_id)
    .bind(result.status().as_str())
    .bind(to_microseconds(now))
    .bind(i32::try_from(result.published).unwrap_or(i32::MAX))
    .bind(i32::try_from(result.failed).unwrap_or(i32::MAX))
    .bind(result.error.as_ref().map(|error| error.chars().take(MAX_ERROR_LENGTH).collect::<String>()))
    .execute(&mut *transaction)
    .await?;
    if finished.rows_affected() == 0 {
        return Ok(false);
    }

    let failed = result.status() == RunStatus::Failed;
    let failures = if failed {
        job.consecutive_failures.saturating_add(1)
    } else {
        0
    };

    // A provider that limits the rate is left alone even if it answered some of the requests.
    let until = (failed || result.retry_after.is_some())
        .then(|| tick::back_off(&job.grid, failures.unsigned_abs(), result.retry_after, now));

    sqlx::query(
        "update polling_jobs set consecutive_failures = $2, backing_off_until = $3 where job_id = $1",
    )
    .bind(claim.job_id)
    .bind(failures)
    .bind(until.map(to_microseconds))
    .execute(&mut *transaction)
    .await?;

    transaction.commit().await?;
    Ok(true)
}

/// The fields of a job that its runs depend on, read under a lock that lasts until the transaction
/// ends.
struct LockedJob {
    grid: Grid,
    consecutive_failures: i32,
    backing_off_until: Option<Timestamp>,
}

async fn lock_job(connection: &mut PgConnection, job_id: Uuid) -> Result<Option<LockedJob>, Error> {
    let row: Option<(Timestamp, i32, i32, Option<Timestamp>)> = sqlx::query_as(
        "select start_at, interval_seconds, consecutive_failures, backing_off_until
         from polling_jobs
         where job_id = $1 and pending_since is null and deleted_at is null for update",
    )
    .bind(job_id)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(
        |(start_at, interval_seconds, consecutive_failures, backing_off_until)| LockedJob {
            grid: Grid::new(start_at, interval_seconds.unsigned_abs()),
            consecutive_failures,
            backing_off_until,
        },
    ))
}

/// The newest tick that any row covers.
async fn newest_recorded(
    connection: &mut PgConnection,
    job_id: Uuid,
    grid: &Grid,
) -> Result<Option<Timestamp>, Error> {
    let row: Option<(Timestamp, i64)> = sqlx::query_as(
        "select tick_time, ticks from polling_runs where job_id = $1 order by tick_time desc limit 1",
    )
    .bind(job_id)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(first, ticks)| grid.last_of(Gap { first, ticks })))
}

/// Claims a tick that already has a row: if its lease has expired or belongs to this claim, or if
/// it was recorded as missed and its firing was only late.
async fn take_over(
    connection: &mut PgConnection,
    claim: &Claim,
    now: Timestamp,
) -> Result<ClaimOutcome, Error> {
    let taken = sqlx::query(
        "update polling_runs
         set status = 'running', claim_id = $3, lease_until = $4, started_at = $5, finished_at = null
         where job_id = $1 and tick_time = $2
           and (status = 'running' and (lease_until <= $5 or claim_id = $3) or status = 'missed' and ticks = 1)",
    )
    .bind(claim.job_id)
    .bind(claim.tick_time)
    .bind(claim.claim_id)
    .bind(to_microseconds(now + LEASE))
    .bind(to_microseconds(now))
    .execute(&mut *connection)
    .await?;

    if taken.rows_affected() > 0 {
        return Ok(ClaimOutcome::Claimed);
    }

    let held_until: Option<Timestamp> = sqlx::query_scalar(
        "select lease_until from polling_runs where job_id = $1 and tick_time = $2 and status = 'running'",
    )
    .bind(claim.job_id)
    .bind(claim.tick_time)
    .fetch_optional(connection)
    .await?;

    Ok(held_until.map_or(ClaimOutcome::Taken, ClaimOutcome::Held))
}

async fn close_abandoned(
    connection: &mut PgConnection,
    job_id: Uuid,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query(
        "update polling_runs set status = 'abandoned', finished_at = $2, lease_until = null,
                error = 'the poller ended before the run did'
         where job_id = $1 and status = 'running' and lease_until <= $2",
    )
    .bind(job_id)
    .bind(to_microseconds(now))
    .execute(connection)
    .await?;
    Ok(())
}

/// Records the ticks between the newest recorded one and `tick_time`: as skipped up to the end of
/// the back-off, as missed from there on.
async fn record_gap(
    connection: &mut PgConnection,
    job: &LockedJob,
    job_id: Uuid,
    newest: Option<Timestamp>,
    tick_time: Timestamp,
) -> Result<(), Error> {
    let skipped = job
        .backing_off_until
        .and_then(|until| job.grid.gap(newest, until.min(tick_time)));
    let newest = skipped.map(|gap| job.grid.last_of(gap)).or(newest);
    let missed = job.grid.gap(newest, tick_time);

    for (gap, status) in [(skipped, RunStatus::Skipped), (missed, RunStatus::Missed)] {
        let Some(gap) = gap else { continue };
        sqlx::query(
            "insert into polling_runs (job_id, tick_time, ticks, status) values ($1, $2, $3, $4)",
        )
        .bind(job_id)
        .bind(gap.first)
        .bind(gap.ticks)
        .bind(status.as_str())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn insert(connection: &mut PgConnection, claim: &Claim, now: Timestamp) -> Result<(), Error> {
    sqlx::query(
        "insert into polling_runs (job_id, tick_time, status, claim_id, lease_until, started_at)
         values ($1, $2, 'running', $3, $4, $5)",
    )
    .bind(claim.job_id)
    .bind(claim.tick_time)
    .bind(claim.claim_id)
    .bind(to_microseconds(now + LEASE))
    .bind(to_microseconds(now))
    .execute(connection)
    .await?;
    Ok(())
}
