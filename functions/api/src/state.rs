//! The state that all handlers share.

use std::sync::Arc;
use std::time::Duration;

use shared::dead_letters::port::DeadLetters;
use shared::invocations::Invocations;
use shared::market::{ProviderList, ProviderName};
use shared::price_log::PriceLog;
use shared::price_log::backlog::Backlog;
use shared::provider::{Provider, ProviderError, Providers};
use shared::repository::polling_jobs::JobLimits;
use shared::schedules::Schedules;
use sqlx::PgPool;

use crate::access::Access;
use crate::observed::Observed;
use crate::problem::Problem;

/// The api's dependencies and settings, built once before the first request.
#[derive(Debug)]
pub struct AppState {
    /// Postgres. The first statement opens the first connection.
    pub db: PgPool,
    /// The sources of quotes.
    pub providers: Providers,
    /// The log to which price events are published.
    pub price_log: Arc<dyn PriceLog>,
    /// The dead letters, which can be sent back.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// Reads how far the averager is behind on the log.
    pub backlog: Arc<dyn Backlog>,
    /// The schedules of polling jobs.
    pub schedules: Schedules,
    /// The poller, for runs that requests ask for.
    pub poller: Invocations,
    /// Seconds between ticks of a job that names no interval.
    pub polling_interval: u32,
    /// Limits on polling jobs.
    pub job_limits: JobLimits,
    /// Most polling jobs of one relay.
    pub relay_jobs: u32,
    /// Origins whose pages may send requests and read the answers, besides the api's own, as browsers
    /// write them.
    pub cors_origins: Vec<String>,
    /// Who is let in.
    pub access: Access,
    /// Longest that a request which asks providers may take.
    pub asking_time: Duration,
    /// Outcomes of this instance's earlier requests.
    pub observed: Observed,
}

impl AppState {
    /// Returns the listed providers, or the default ones if there is no list.
    ///
    /// # Errors
    /// The message for the client, if a name is unknown.
    pub(crate) fn provider_list(&self, list: Option<ProviderList>) -> Result<ProviderList, String> {
        let list = list.unwrap_or_else(|| self.providers.default_list().clone());

        for name in list.iter() {
            self.provider(name)?;
        }
        Ok(list)
    }

    /// The providers of a list that can be asked, in its order. Those that lack their key are left
    /// out.
    ///
    /// # Errors
    /// The problem of the first one, if none can be asked.
    pub(crate) fn ready_providers(
        &self,
        list: &ProviderList,
    ) -> Result<Vec<Arc<dyn Provider>>, Problem> {
        let known: Vec<_> = list
            .iter()
            .filter_map(|name| self.providers.get(name))
            .collect();
        let ready: Vec<_> = known
            .iter()
            .filter(|provider| provider.ready().is_ok())
            .cloned()
            .collect();

        match known.first() {
            Some(first) if ready.is_empty() => Err(first
                .ready()
                .map_or_else(Problem::from, |()| Problem::internal())),
            _ => Ok(ready),
        }
    }

    /// Returns the provider called `name`.
    ///
    /// # Errors
    /// The message for the client, if the name is unknown.
    pub(crate) fn provider(&self, name: &ProviderName) -> Result<Arc<dyn Provider>, String> {
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

    /// Checks that each of these providers can be asked.
    ///
    /// # Errors
    /// That of the first one that needs a key.
    pub(crate) fn ready(&self, list: &ProviderList) -> Result<(), ProviderError> {
        list.iter()
            .filter_map(|name| self.providers.get(name))
            .try_for_each(|provider| provider.ready())
    }
}
