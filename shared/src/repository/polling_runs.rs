//! Polling runs: which poller polls which tick, and with what result.
//!
//! A poller claims a run by inserting its row with a lease. All writes about a job's ticks, except
//! renewals of a lease, hold the lock on the job's row, so claims of one job are serialised.

use std::time::Duration;

use serde::Serialize;
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::Error;
use super::polling_jobs::ClosedMarkets;
use super::transaction::BEGIN;
use crate::market::{Timestamp, to_microseconds};
use crate::tick;

mod claiming;
mod claiming_many;
mod expiry;
pub(super) mod gaps;
mod list;
mod locked_job;
mod outcomes;
mod requests;
mod run_id;

pub(super) use claiming::close_abandoned;
pub use claiming::{claim, claim_unless_locked};
pub use claiming_many::{claim_successors, renew_all};
pub use expiry::{close_left_behind, delete_before};
pub use list::{Run, get, list};
pub(super) use locked_job::{LockedJob, lock_job};
pub use outcomes::{Failure, Outcome, OutcomeGroup};
pub use requests::{RequestError, RequestedRun, close_unserved, request};
pub use run_id::{run_id, time_of};

/// How long a claim is valid without renewal.
pub const LEASE: Duration = Duration::from_secs(30);
/// Longest error text that is stored, in characters.
const MAX_ERROR_LENGTH: usize = 500;

/// The state of a tick, or its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// A request asked for it, and it waits for a poller.
    Requested,
    /// It is being polled.
    Running,
    /// Every symbol has a quote, new or unchanged.
    Succeeded,
    /// Some symbols have a quote.
    Partial,
    /// No symbol has one.
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
    /// Symbols whose quote is new.
    pub published: u32,
    /// Symbols whose quote did not move.
    pub unchanged: u32,
    /// Symbols without a quote, or whose event was not acknowledged.
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
    /// Whether the run was asked for by a request, so that `tick_time` is no tick.
    pub requested: bool,
}

impl Claim {
    /// A new claim. Repeating [`claim`] with it has the effect of one.
    #[must_use]
    pub fn new(job_id: Uuid, tick_time: Timestamp) -> Self {
        Self {
            job_id,
            tick_time,
            claim_id: Uuid::new_v4(),
            requested: false,
        }
    }

    /// A new claim of the run that a request asked for at `time`.
    #[must_use]
    pub fn of_request(job_id: Uuid, time: Timestamp) -> Self {
        Self {
            requested: true,
            ..Self::new(job_id, time)
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
    /// The tick has a row that cannot be claimed: another poller has polled it, or it was recorded
    /// as missed or skipped with others.
    AlreadyRecorded,
    /// The job skips ticks before this time: it backs off, or all of its markets are closed.
    BackingOff(Timestamp),
    /// The job is paused.
    Paused,
    /// The job does not exist, or is deleted.
    NoSuchJob,
}

/// The result of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunResult {
    /// Symbols whose quote is new, and whose event was acknowledged.
    pub published: u32,
    /// Symbols whose quote did not move. Their event was acknowledged, too.
    pub unchanged: u32,
    /// All other symbols that were asked for.
    pub failed: u32,
    /// The first error; safe to show.
    pub error: Option<String>,
    /// How long the provider asked to wait.
    pub retry_after: Option<Duration>,
    /// What became of each symbol.
    pub outcomes: Vec<OutcomeGroup>,
    /// The symbols that are left out from now on; `None` leaves that as it is.
    pub closed_markets: Option<ClosedMarkets>,
    /// The configuration of the job that was polled; `None` stands for the present one.
    pub configuration: Option<i32>,
}

impl RunResult {
    /// The status that follows from the counts.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        match (self.published + self.unchanged, self.failed) {
            (_, 0) => RunStatus::Succeeded,
            (0, _) => RunStatus::Failed,
            _ => RunStatus::Partial,
        }
    }
}

impl RunStatus {
    /// The word used in the database and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
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
            Self::Requested,
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

/// Closes a run and updates its job's back-off; returns whether the claim still held. A run of an
/// earlier configuration changes neither the back-off nor the closed markets, which belong to what
/// the job polls now.
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
         set status = $4, finished_at = $5, published = $6, unchanged = $7, failed = $8, error = $9,
             outcomes = $10::text::jsonb, lease_until = null
         where job_id = $1 and tick_time = $2 and claim_id = $3 and status = 'running'",
    )
    .bind(claim.job_id)
    .bind(claim.tick_time)
    .bind(claim.claim_id)
    .bind(result.status().as_str())
    .bind(to_microseconds(now))
    .bind(stored(result.published))
    .bind(stored(result.unchanged))
    .bind(stored(result.failed))
    .bind(
        result
            .error
            .as_ref()
            .map(|error| error.chars().take(MAX_ERROR_LENGTH).collect::<String>()),
    )
    .bind(outcomes::stored(&result.outcomes)?)
    .execute(&mut *transaction)
    .await?;
    if finished.rows_affected() == 0 {
        return Ok(false);
    }

    let polled = result.configuration.unwrap_or(job.configuration);
    if polled == job.configuration {
        follow(&mut transaction, &job, result, claim, now).await?;
    }

    transaction.commit().await?;
    Ok(true)
}

/// Writes what a run of the job's present configuration changes of the job.
async fn follow(
    connection: &mut PgConnection,
    job: &LockedJob,
    result: &RunResult,
    claim: &Claim,
    now: Timestamp,
) -> Result<(), Error> {
    if let Some(closed) = &result.closed_markets {
        closed.store(connection, claim.job_id, now).await?;
    }

    // Requests do not decide how long the job backs off. A success ends that, whoever asked for it.
    if !claim.requested || result.status() != RunStatus::Failed {
        back_off(connection, job, result, claim, now).await?;
    }
    Ok(())
}

/// Begins, continues or ends the job's back-off after a run.
async fn back_off(
    connection: &mut PgConnection,
    job: &LockedJob,
    result: &RunResult,
    claim: &Claim,
    now: Timestamp,
) -> Result<(), Error> {
    let failed = result.status() == RunStatus::Failed;
    let failures = if failed {
        job.consecutive_failures.saturating_add(1)
    } else {
        0
    };

    // A provider that limits the rate is left alone even if it answered some of the requests. The
    // claim's id is random, and the same if this is repeated.
    let jitter = claim.claim_id.as_u64_pair().1;
    let until = (failed || result.retry_after.is_some()).then(|| {
        tick::back_off(
            &job.grid,
            failures.unsigned_abs(),
            result.retry_after,
            jitter,
            now,
        )
    });

    // A first failure skips no tick, and is no back-off yet.
    let skips = until.is_some_and(|until| job.grid.next_from(until) > job.grid.next_after(now));
    let since = match job.backing_off_since {
        Some(since) => until.map(|_| since),
        None => (skips || failures > 1).then_some(now),
    };

    sqlx::query(
        "update polling_jobs
         set consecutive_failures = $2, backing_off_until = $3, backing_off_since = $4,
             active_since = case when backing_off_since is not null and $4 is null then $5 else active_since end
         where job_id = $1",
    )
    .bind(job.job_id)
    .bind(failures)
    .bind(until.map(to_microseconds))
    .bind(since.map(to_microseconds))
    .bind(to_microseconds(now))
    .execute(connection)
    .await?;
    Ok(())
}

fn stored(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
