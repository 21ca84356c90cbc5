//! What the handlers share.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::market::ProviderName;
use shared::price_log::PriceLog;
use shared::provider::{Provider, Providers};
use shared::repository;
use shared::schedules::Schedules;
use sqlx::PgPool;
use tokio::time::{Instant, timeout};

use crate::health::ProviderProbes;
use crate::problem::Problem;

/// Longest that one endpoint's reads or writes in Postgres take; a request is answered within 5 s.
const POSTGRES_TIMEOUT: Duration = Duration::from_secs(4);
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
    /// Where polling jobs get their schedules.
    pub schedules: Schedules,
    /// Seconds between ticks of a job that names no interval.
    pub polling_interval: u32,
    /// Most jobs whose interval is not a multiple of a minute.
    pub max_relay_jobs: u32,
    /// What this instance has seen.
    pub observed: Observed,
}

/// What one instance remembers between requests; nothing depends on it being kept.
#[derive(Debug, Default)]
pub struct Observed {
    last_failed_publish: Mutex<Option<Instant>>,
    pub(crate) probes: ProviderProbes,
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

/// Runs statements within [`POSTGRES_TIMEOUT`].
pub(crate) async fn postgres<T, E>(statements: impl Future<Output = Result<T, E>>) -> Result<T, Problem>
where
    Problem: From<E>,
    E: From<repository::Error>,
{
    timeout(POSTGRES_TIMEOUT, statements).await.map_or_else(
        |_| {
            tracing::warn!("Postgres did not answer in time");
            Err(Problem::postgres_away())
        },
        |result| result.map_err(Problem::from),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
