//! What the handlers share.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::market::ProviderName;
use shared::price_log::PriceLog;
use shared::price_log::backlog::Backlog;
use shared::provider::{Provider, Providers};
use shared::repository;
use shared::schedules::{ScheduleError, Schedules};
use sqlx::PgPool;
use tokio::time::{Instant, timeout_at};

use crate::health::{BacklogReading, ProviderProbes};
use crate::problem::Problem;

/// Longest that a request waits for Postgres and the scheduler, all its calls together; it is answered within 5 s.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(4_500);
/// Longest that a request which asks providers takes, all of its work together: it is answered before the function's
/// time-out of 29 s.
pub const ASKING_TIME: Duration = Duration::from_secs(25);
/// How long after a failed publish no provider is asked, since its quote could not be published either.
const LOG_PAUSE: Duration = Duration::from_secs(5);

/// The parts that the api combines, built once before the first request.
#[derive(Debug)]
pub struct AppState {
    /// Postgres, connected to at the first statement.
    pub db: PgPool,
    /// Where quotes come from.
    pub providers: Providers,
    /// Where price events go.
    pub log: Arc<dyn PriceLog>,
    /// How far the averager is behind on it.
    pub backlog: Arc<dyn Backlog>,
    /// Where polling jobs get their schedules.
    pub schedules: Schedules,
    /// Seconds between ticks of a job that names no interval.
    pub polling_interval: u32,
    /// Most jobs whose interval is not a multiple of a minute.
    pub max_relay_jobs: u32,
    /// Origins besides its own whose pages may send requests, as browsers write them.
    pub allowed_origins: Vec<String>,
    /// Longest that a request which asks providers takes.
    pub asking_time: Duration,
    /// What this instance has seen.
    pub observed: Observed,
}

/// What one instance remembers between requests; nothing depends on it being kept.
#[derive(Debug, Default)]
pub struct Observed {
    last_failed_publish: Mutex<Option<Instant>>,
    pub(crate) probes: ProviderProbes,
    pub(crate) backlog: BacklogReading,
}

impl Observed {
    /// Notes whether the log took what was published.
    pub(crate) fn published(&self, failed: bool, now: Instant) {
        *self.last_failed_publish.lock().unwrap_or_else(PoisonError::into_inner) = failed.then_some(now);
    }

    /// Whether the log failed so lately that publishing is not tried again yet.
    pub(crate) fn log_is_away(&self, now: Instant) -> bool {
        let last = *self.last_failed_publish.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| now.duration_since(last) < LOG_PAUSE)
    }
}

impl AppState {
    /// The provider named, else the default one. An unknown name gives the message for the client.
    pub(crate) fn provider(&self, name: Option<&ProviderName>) -> Result<Arc<dyn Provider>, String> {
        let name = name.unwrap_or_else(|| self.providers.default_name());
        self.providers.get(name).ok_or_else(|| {
            let known = self.providers.names().map(ProviderName::as_str).collect::<Vec<_>>();
            format!("is not a known provider: {name}; the known ones are: {}", known.join(", "))
        })
    }
}

/// When a request's time is up, whatever it waits for by then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// Of a request that begins now.
    pub(crate) fn of_request() -> Self {
        Self::after(REQUEST_TIMEOUT)
    }

    /// In so long a time from now.
    pub(crate) fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// The same, or earlier: `time` from now.
    pub(crate) fn within(self, time: Duration) -> Self {
        Self(self.0.min(Instant::now() + time))
    }

    /// The same, with `time` left for something after it.
    pub(crate) fn leaving(self, time: Duration) -> Self {
        Self(self.0 - time)
    }

    /// Waits for `work` until then; none if it is not done by then, or if the time was up before it began.
    pub(crate) async fn wait<T>(self, work: impl Future<Output = T>) -> Option<T> {
        if self.0 <= Instant::now() {
            return None;
        }
        timeout_at(self.0, work).await.ok()
    }

    /// Runs statements until then, and no longer than a request that waits for nothing else.
    pub(crate) async fn postgres<T, E>(
        self,
        statements: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Problem>
    where
        Problem: From<E>,
        E: From<repository::Error>,
    {
        timeout_at(self.within(REQUEST_TIMEOUT).0, statements).await.map_or_else(
            |_| {
                tracing::warn!("Postgres did not answer in time");
                Err(Problem::postgres_away())
            },
            |result| result.map_err(Problem::from),
        )
    }

    /// Calls the scheduler, to do `action`, until then.
    pub(crate) async fn schedules(
        self,
        action: &'static str,
        call: impl Future<Output = Result<(), ScheduleError>>,
    ) -> Result<(), ScheduleError> {
        let too_late = |_| Err(ScheduleError { action, reason: "the request's time was up".to_owned() });
        timeout_at(self.0, call).await.unwrap_or_else(too_late)
    }
}

/// Runs the statements of a request that waits for nothing else.
pub(crate) async fn postgres<T, E>(statements: impl Future<Output = Result<T, E>>) -> Result<T, Problem>
where
    Problem: From<E>,
    E: From<repository::Error>,
{
    Deadline::of_request().postgres(statements).await
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn once_a_request_s_time_is_up_it_waits_neither_for_postgres_nor_for_the_scheduler() {
        let deadline = Deadline::of_request().leaving(REQUEST_TIMEOUT);
        let statements = pending::<Result<(), repository::Error>>();
        assert_eq!(deadline.postgres(statements).await, Err(Problem::postgres_away()));
        assert!(deadline.schedules("delete the schedule", pending()).await.is_err());
    }

    #[test]
    fn a_failed_publish_pauses_the_log_for_five_seconds_and_a_good_one_ends_the_pause() {
        let observed = Observed::default();
        let start = Instant::now();
        assert!(!observed.log_is_away(start));
        observed.published(true, start);
        assert!(observed.log_is_away(start + Duration::from_millis(4_999)));
        assert!(!observed.log_is_away(start + Duration::from_secs(5)));
        observed.published(true, start);
        observed.published(false, start);
        assert!(!observed.log_is_away(start));
    }
}
