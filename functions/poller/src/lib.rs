//! The poller: an invocation for each firing of a job's schedule, a run for each tick.
//!
//! A schedule knows whole minutes only. Where the job's interval is a number of those, a firing is
//! one tick. Otherwise firings relay: each serves the ticks as they come until the next firing
//! takes over ([`relay`]). How one tick is polled is in [`poll`], and how long all of it may take
//! in [`limits`].

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use lambda_runtime::Diagnostic;
use serde::{Deserialize, Serialize};
use shared::market::{Timestamp, to_microseconds};
use shared::price_log::PriceLog;
use shared::provider::Providers;
use shared::repository;
use shared::repository::polling_jobs::{self, PollingJob};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::clock::Clock;
use crate::limits::{ATTEMPT, Limits};

pub mod clock;
pub mod limits;
pub mod poll;
pub mod relay;

/// How far a firing may lie ahead of our clock.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(1);
/// Pause before a job that waits for its activation is looked for again.
const ACTIVATION_PAUSE: TimeDelta = TimeDelta::milliseconds(100);
/// Pause before Postgres is tried again.
const RETRY_PAUSE: TimeDelta = TimeDelta::seconds(1);

/// What the schedule invokes the poller with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Firing {
    /// The job, which is also the schedule's name.
    pub job_id: Uuid,
    /// The time that the schedule fires for, however late.
    #[serde(deserialize_with = "as_stored")]
    pub scheduled_time: Timestamp,
}

/// A time as it reads back from Postgres: it is compared with those that stand there.
fn as_stored<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    Timestamp::deserialize(deserializer).map(to_microseconds)
}

/// What an invocation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Served {
    /// The job.
    pub job_id: Uuid,
    /// Ticks that this invocation polled.
    pub polled: u32,
    /// Why it ended.
    pub ended: Ended,
}

/// Why an invocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Its tick is done with, or no further one comes within its time.
    Done,
    /// A later firing has taken over.
    Relieved,
    /// The job is deleted.
    NoSuchJob,
}

/// Why a firing is not answered, so that it comes again.
#[derive(Debug, thiserror::Error)]
pub enum FiringError {
    /// The firing lies further ahead of our clock than clocks differ. Answered with success it
    /// would be lost.
    #[error(
        "the firing of {0} lies in the future; the clock of the scheduler or of the poller is wrong"
    )]
    NotDue(Timestamp),
    /// The process is being stopped.
    #[error("the poller is being stopped")]
    Stopping,
    /// Somebody else polls the tick, and may for longer than the invocation lasts.
    #[error("the tick is being polled by another invocation")]
    Held,
    /// The job is not activated, and is not for as long as the invocation may wait.
    #[error("the polling job is not active yet: the request that makes it has not ended")]
    Inactive,
    /// Postgres was away for as long as a step may take, or as the invocation lasts.
    #[error("no time was left to {step}: {error}")]
    OutOfTime {
        /// What did not fit.
        step: &'static str,
        /// What came of the last attempt.
        error: repository::Error,
    },
    /// Postgres refuses.
    #[error(transparent)]
    Repository(#[from] repository::Error),
}

impl From<FiringError> for Diagnostic {
    fn from(error: FiringError) -> Self {
        let error_type = match error {
            FiringError::NotDue(_) => "NotDue",
            FiringError::Stopping => "Stopping",
            FiringError::Held => "Held",
            FiringError::Inactive => "Inactive",
            FiringError::OutOfTime { .. } => "OutOfTime",
            FiringError::Repository(_) => "Repository",
        };
        Self {
            error_type: error_type.to_owned(),
            error_message: error.to_string(),
        }
    }
}

/// What a poller works with.
#[derive(Clone, Debug)]
pub struct Poller {
    /// Jobs and runs.
    pub pool: PgPool,
    /// Who is asked for prices.
    pub providers: Providers,
    /// Where prices are published.
    pub price_log: Arc<dyn PriceLog>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Cancelled when the process is to end.
    pub stopping: CancellationToken,
}

impl Poller {
    /// Serves a firing, and ends before `deadline`, when the invocation is cut off.
    ///
    /// # Errors
    /// When the firing should come again: it lies in the future, Postgres is away, somebody else
    /// holds the tick to the end, its job is not active by then, or the process is being stopped
    /// while it waits.
    pub async fn serve(&self, firing: &Firing, deadline: Timestamp) -> Result<Served, FiringError> {
        let &Firing {
            job_id,
            scheduled_time,
        } = firing;
        let ended = |ended| {
            Ok(Served {
                job_id,
                polled: 0,
                ended,
            })
        };
        if scheduled_time > self.clock.now() + CLOCK_TOLERANCE {
            return Err(FiringError::NotDue(scheduled_time));
        }

        let limits = Limits::new(scheduled_time, deadline);
        let note = || polling_jobs::note_firing(&self.pool, job_id, scheduled_time);
        self.patiently("note the firing", limits.relays_until, &limits, note)
            .await?;
        let Some(job) = self.activated(job_id, &limits).await? else {
            return ended(Ended::NoSuchJob);
        };

        if job.grid().is_relayed() {
            return self.relay(firing, &limits).await;
        }
        let Some(tick) = job.grid().newest_at(scheduled_time) else {
            return ended(Ended::Done);
        };
        let polled = self.serve_only_tick(&job, tick, &limits).await?;
        Ok(Served {
            job_id,
            polled: u32::from(polled),
            ended: Ended::Done,
        })
    }

    /// The job of a firing. One that is only about to be there, whose schedule was quicker than its
    /// activation, is waited for: else the first tick would be lost.
    async fn activated(
        &self,
        job_id: Uuid,
        limits: &Limits,
    ) -> Result<Option<PollingJob>, FiringError> {
        loop {
            // Asked before the job is read: one that is activated in between is read then.
            let is_pending = || polling_jobs::is_pending(&self.pool, job_id);
            let pending = self
                .patiently("read the job", limits.relays_until, limits, is_pending)
                .await?;
            let job = self.job(job_id, limits).await?;
            if job.is_some() || !pending {
                return Ok(job);
            }
            if self.clock.now() > limits.last_start {
                return Err(FiringError::Inactive);
            }
            self.wait_until(self.clock.now() + ACTIVATION_PAUSE).await?;
        }
    }

    /// The job as it is now.
    async fn job(&self, job_id: Uuid, limits: &Limits) -> Result<Option<PollingJob>, FiringError> {
        let get = || polling_jobs::get(&self.pool, job_id);
        self.patiently("read the job", limits.relays_until, limits, get)
            .await
    }

    /// Repeats an operation, which is to do `step`, while Postgres is away: up to `until`, and no
    /// longer than the invocation may work. One that gets no answer is given up, and tried again on
    /// another connection.
    pub(crate) async fn patiently<T, F>(
        &self,
        step: &'static str,
        until: Timestamp,
        limits: &Limits,
        operation: impl Fn() -> F,
    ) -> Result<T, FiringError>
    where
        F: Future<Output = Result<T, repository::Error>>,
    {
        let until = until.min(limits.end);
        loop {
            let attempt = self.within(ATTEMPT, limits.end, operation()).await;
            match attempt.unwrap_or_else(|| Err(repository::Error::unanswered())) {
                Err(error) if error.is_transient() && self.clock.now() + RETRY_PAUSE < until => {
                    warn!(%error, step, "trying again");
                    self.wait_until(self.clock.now() + RETRY_PAUSE).await?;
                }
                Err(error) if error.is_transient() => {
                    return Err(FiringError::OutOfTime { step, error });
                }
                result => return Ok(result?),
            }
        }
    }

    /// What comes of the work within `at_most`, and before `by`; none if it takes longer, or if it
    /// is too late to begin.
    pub(crate) async fn within<T>(
        &self,
        at_most: Duration,
        by: Timestamp,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let left = (by - self.clock.now())
            .to_std()
            .ok()
            .filter(|left| !left.is_zero())?;
        tokio::time::timeout(left.min(at_most), work).await.ok()
    }

    /// Waits, unless the process is to end.
    pub(crate) async fn wait_until(&self, time: Timestamp) -> Result<(), FiringError> {
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => Err(FiringError::Stopping),
            () = self.clock.wait_until(time) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_event_is_a_firing() {
        let firing: Firing =
            serde_json::from_str(include_str!("../../../events/poller-tick.json")).unwrap();
        assert_eq!(
            firing.scheduled_time.to_rfc3339(),
            "2024-03-20T10:30:00+00:00"
        );
    }

    #[test]
    fn a_firing_s_time_is_the_one_that_postgres_gives_back() {
        let firing = r#"{"job_id":"6f9619ff-8b86-4d01-b42d-00cf4fc964ff","scheduled_time":"2026-11-27T10:30:60.0000009Z"}"#;
        let firing: Firing = serde_json::from_str(firing).unwrap();
        assert_eq!(
            firing.scheduled_time.to_rfc3339(),
            "2026-11-27T10:31:00+00:00"
        );
    }
}
