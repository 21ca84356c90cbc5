//! The poller: one invocation for each firing of a schedule, one run for each tick of a job.
//!
//! A schedule fires at whole minutes only. If the job's interval is a whole number of minutes, each
//! firing is one tick. The other jobs share relays: each firing of a relay's schedule serves the
//! ticks of all its jobs until the next firing takes over ([`relay`]). `ticks` serves one tick, and
//! [`poll`] polls it. [`limits`] says how long each step may take.

use std::sync::Arc;

use chrono::TimeDelta;
use lambda_runtime::Diagnostic;
use serde::{Deserialize, Serialize};
use shared::acquisition::Instance;
use shared::market::{Timestamp, to_microseconds};
use shared::price_log::PriceLog;
use shared::provider::Providers;
use shared::repository;
use shared::repository::polling_jobs::{self, PollingJob};
use shared::repository::polling_runs::Claim;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::Clock;
pub use crate::event::{Answer, Event};
use crate::limits::Limits;

pub mod clock;
mod course;
mod event;
mod fates;
mod in_flight;
pub mod limits;
mod market_hours;
mod party;
pub mod poll;
pub mod relay;
mod requests;
mod ticks;
mod turn;
mod waits;

/// How far ahead of our clock a firing may be.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(1);
/// Pause before a job that is being created is read again.
const ACTIVATION_PAUSE: TimeDelta = TimeDelta::milliseconds(100);

/// The event with which a schedule invokes the poller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Firing {
    /// The job, which is also the schedule's name.
    pub job_id: Uuid,
    /// The time at which the schedule was to fire. The invocation may come later.
    #[serde(deserialize_with = "as_stored")]
    pub scheduled_time: Timestamp,
}

/// The event with which the API invokes the poller for a run that a request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct RunRequest {
    /// The job.
    pub job_id: Uuid,
    /// When the run was asked for: the time of its row.
    #[serde(deserialize_with = "as_stored")]
    pub requested_at: Timestamp,
}

/// Reads a time with the precision of Postgres, because it is compared with stored times.
fn as_stored<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    Timestamp::deserialize(deserializer).map(to_microseconds)
}

/// The result of an invocation.
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
    /// Its tick is finished, or no further tick is due within its time.
    Done,
    /// A later firing has taken over.
    Relieved,
    /// The job is paused.
    Paused,
    /// The job does not exist, or is deleted.
    NoSuchJob,
    /// The relay does not exist: it had no jobs left.
    NoSuchRelay,
}

/// Why an invocation fails, so that its firing comes again.
#[derive(Debug, thiserror::Error)]
pub enum FiringError {
    /// The firing is further in the future than clocks differ. A successful answer would lose it.
    #[error(
        "the firing of {0} lies in the future; the clock of the scheduler or of the poller is wrong"
    )]
    NotDue(Timestamp),
    /// The process is being stopped.
    #[error("the poller is being stopped")]
    Stopping,
    /// Another poller holds the tick, with a lease that ends after this invocation's last start.
    #[error("the tick is being polled by another invocation")]
    Held,
    /// The job was not activated for as long as the invocation may wait.
    #[error("the polling job is not active yet: the request that creates it has not finished")]
    Inactive,
    /// Postgres was unavailable for as long as the step may take, or until the invocation's end.
    #[error("no time was left to {step}: {error}")]
    OutOfTime {
        /// The step that did not fit, as an infinitive.
        step: &'static str,
        /// The error of the last attempt.
        error: repository::Error,
    },
    /// Postgres refused a statement.
    #[error(transparent)]
    Repository(#[from] repository::Error),
}

impl FiringError {
    /// The error of a step whose last attempt failed with `error`.
    pub(crate) fn of_step(step: &'static str, error: repository::Error) -> Self {
        if error.is_transient() {
            Self::OutOfTime { step, error }
        } else {
            error.into()
        }
    }
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

/// A poller's dependencies.
#[derive(Clone, Debug)]
pub struct Poller {
    /// Holds jobs, runs and raw responses.
    pub pool: PgPool,
    /// The sources of quotes.
    pub providers: Providers,
    /// What this instance holds of the providers' budgets, and its fetches in flight.
    pub instance: Arc<Instance>,
    /// Where price events are published.
    pub price_log: Arc<dyn PriceLog>,
    /// The wall clock, or one that a test sets.
    pub clock: Arc<dyn Clock>,
    /// Most jobs of one relay.
    pub relay_jobs: u32,
    /// Cancelled when the process has to end.
    pub stopping: CancellationToken,
}

impl Poller {
    /// Serves a firing, and ends before `deadline`, at which the invocation is cut off.
    ///
    /// # Errors
    /// When the firing should come again: it is in the future, Postgres is unavailable, another
    /// poller holds the tick for too long, the job is not activated in time, or the process is
    /// being stopped.
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

        self.check_due(scheduled_time)?;
        let limits = Limits::new(scheduled_time, deadline);

        let note = || polling_jobs::note_firing(&self.pool, job_id, scheduled_time);
        self.patiently("note the firing", limits.relays_until, &limits, note)
            .await?;

        let Some(job) = self.activated(job_id, &limits).await? else {
            return ended(Ended::NoSuchJob);
        };

        if job.grid().is_relayed() {
            // A firing from before the grid is a tick of the whole minutes that the job had before.
            if scheduled_time < job.start_at {
                let claim = Claim::new(job_id, scheduled_time);
                self.serve_only(&claim, &limits).await?;
            }
            return self.serve_relay_of(firing, deadline, &limits).await;
        }

        if job.paused_at.is_some() {
            return ended(Ended::Paused);
        }

        // A firing from before the grid is one of the grid that the job had before its interval
        // changed. It polls its tick if that was recorded as missed.
        let tick = job
            .grid()
            .newest_at(scheduled_time)
            .unwrap_or(scheduled_time);
        let claim = Claim::new(job_id, tick);
        let polled = self.serve_only(&claim, &limits).await?;
        Ok(Served {
            job_id,
            polled: u32::from(polled),
            ended: Ended::Done,
        })
    }

    /// Fails if a firing is further in the future than clocks differ.
    fn check_due(&self, scheduled_time: Timestamp) -> Result<(), FiringError> {
        if scheduled_time > self.clock.now() + CLOCK_TOLERANCE {
            return Err(FiringError::NotDue(scheduled_time));
        }
        Ok(())
    }

    /// Reads the job of a firing. Waits for a job that is being created: its schedule exists before
    /// its activation, and without the wait its first tick would be lost.
    async fn activated(
        &self,
        job_id: Uuid,
        limits: &Limits,
    ) -> Result<Option<PollingJob>, FiringError> {
        loop {
            // Queried before the job is read: if the job is activated between the two queries, the
            // second one finds it. In the other order neither would.
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

    /// Reads the job's current state; `None` if it is missing, deleted or not yet active.
    async fn job(&self, job_id: Uuid, limits: &Limits) -> Result<Option<PollingJob>, FiringError> {
        let get = || polling_jobs::get(&self.pool, job_id);
        self.patiently("read the job", limits.relays_until, limits, get)
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
