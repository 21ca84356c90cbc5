//! What the handlers share.

use std::sync::Arc;
use std::time::Duration;

use shared::market::ProviderName;
use shared::price_log::PriceLog;
use shared::price_log::backlog::Backlog;
use shared::provider::{Provider, Providers};
use shared::schedules::Schedules;
use sqlx::PgPool;

use crate::observed::Observed;

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

impl AppState {
    /// The provider named, else the default one. An unknown name gives the message for the client.
    pub(crate) fn provider(
        &self,
        name: Option<&ProviderName>,
    ) -> Result<Arc<dyn Provider>, String> {
        let name = name.unwrap_or_else(|| self.providers.default_name());
        self.providers.get(name).ok_or_else(|| {
            let known = self
                .providers
                .names()
                .map(ProviderName::as_str)
                .collect::<Vec<_>>();
            format!(
                "is not a known provider: {name}; the known ones are: {}",
                known.join(", ")
            )
        })
    }
}
