//! The poller: an invocation for each firing of a job's schedule, a run for each tick.
//!
//! A schedule knows whole minutes only. Where the job's interval is a number of those, a firing is one tick.
//! Otherwise firings relay: each serves the ticks as they come until the next firing takes over ([`relay`]).
//! How one tick is polled is in [`poll`].

use std::sync::Arc;

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

pub mod clock;
pub mod poll;
pub mod relay;

/// How long a relay waits for the next firing, counted from its own: a firing may be a minute late.
const RELAY: TimeDelta = TimeDelta::seconds(120);
/// What is left to the invocation when it begins its last tick.
const DEADLINE_MARGIN: TimeDelta = TimeDelta::seconds(20);
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
    /// The firing lies further ahead of our clock than clocks differ. Answered with success it would be lost.
    #[error("the firing of {0} lies in the future; the clock of the scheduler or of the poller is wrong")]
    NotDue(Timestamp),
    /// The process is being stopped.
    #[error("the poller is being stopped")]
    Stopping,
    /// Somebody else polls the tick, and may for longer than the invocation lasts.
    #[error("the tick is being polled by another invocation")]
    Held,
    /// Postgres is away or refuses.
    #[error(transparent)]
    Repository(#[from] repository::Error),
}

impl From<FiringError> for Diagnostic {
    fn from(error: FiringError) -> Self {
        let error_type = match error {
            FiringError::NotDue(_) => "NotDue",
            FiringError::Stopping => "Stopping",
            FiringError::Held => "Held",
            FiringError::Repository(_) => "Repository",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
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
    /// Serves a firing. `deadline` is when the invocation is cut off, where that is known.
    ///
    /// # Errors
    /// When the firing should come again: it lies in the future, Postgres is away, somebody else holds the tick to the
    /// end, or the process is being stopped while it waits.
    pub async fn serve(&self, firing: &Firing, deadline: Option<Timestamp>) -> Result<Served, FiringError> {
        let &Firing { job_id, scheduled_time } = firing;
        let ended = |ended| Ok(Served { job_id, polled: 0, ended });
        if scheduled_time > self.clock.now() + CLOCK_TOLERANCE {
            return Err(FiringError::NotDue(scheduled_time));
        }
        let last_start = deadline.map_or(Timestamp::MAX_UTC, |deadline| deadline - DEADLINE_MARGIN);
        let until = (scheduled_time + RELAY).min(last_start);
        self.patiently(until, || polling_jobs::note_firing(&self.pool, job_id, scheduled_time)).await?;
        let Some(job) = self.activated(job_id, until).await? else { return ended(Ended::NoSuchJob) };
        if job.grid().is_relayed() {
            return self.relay(firing, until, last_start).await;
        }
        let Some(tick) = job.grid().newest_at(scheduled_time) else {
            return ended(Ended::Done);
        };
        let polled = self.serve_only_tick(&job, tick, until, last_start).await?;
        Ok(Served { job_id, polled: u32::from(polled), ended: Ended::Done })
    }

    /// The job of a firing. One that is only about to be there, whose schedule was quicker than its activation, is waited
    /// for: else the first tick would be lost.
    async fn activated(&self, job_id: Uuid, until: Timestamp) -> Result<Option<PollingJob>, FiringError> {
        loop {
            // Asked before the job is read: one that is activated in between is read then.
            let pending = self.patiently(until, || polling_jobs::is_pending(&self.pool, job_id)).await?;
            let job = self.patiently(until, || polling_jobs::get(&self.pool, job_id)).await?;
            if job.is_some() || !pending {
                return Ok(job);
            }
            self.wait_until(self.clock.now() + ACTIVATION_PAUSE).await?;
        }
    }

    /// Repeats an operation while Postgres is away, up to `until`.
    pub(crate) async fn patiently<T, F>(
        &self,
        until: Timestamp,
        operation: impl Fn() -> F,
    ) -> Result<T, FiringError>
    where
        F: Future<Output = Result<T, repository::Error>>,
    {
        loop {
            match operation().await {
                Err(error) if error.is_transient() && self.clock.now() + RETRY_PAUSE < until => {
                    warn!(%error, "trying again");
                    self.wait_until(self.clock.now() + RETRY_PAUSE).await?;
                }
                result => return Ok(result?),
            }
        }
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

/// The invocation's deadline, in milliseconds since 1970 as Lambda gives it; none where the number is no such time,
/// which is how some local tools fill it in.
#[must_use]
pub fn deadline(milliseconds: u64) -> Option<Timestamp> {
    let earliest = TimeDelta::days(31 * 365);
    let time = i64::try_from(milliseconds).ok().and_then(Timestamp::from_timestamp_millis)?;
    (time > Timestamp::UNIX_EPOCH + earliest).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_event_is_a_firing() {
        let firing: Firing =
            serde_json::from_str(include_str!("../../../tests/events/poller-tick.json")).unwrap();
        assert_eq!(firing.scheduled_time.to_rfc3339(), "2024-03-20T10:30:00+00:00");
    }

    #[test]
    fn a_firing_s_time_is_the_one_that_postgres_gives_back() {
        let firing = r#"{"job_id":"6f9619ff-8b86-4d01-b42d-00cf4fc964ff","scheduled_time":"2026-11-27T10:30:60.0000009Z"}"#;
        let firing: Firing = serde_json::from_str(firing).unwrap();
        assert_eq!(firing.scheduled_time.to_rfc3339(), "2026-11-27T10:31:00+00:00");
    }

    #[test]
    fn a_deadline_in_1970_is_unknown() {
        assert_eq!(deadline(600_000), None);
        assert_eq!(deadline(u64::MAX), None);
        assert_eq!(deadline(1_780_000_000_000).map(|time| time.timestamp()), Some(1_780_000_000));
    }
}
