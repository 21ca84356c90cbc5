//! Checks whether a provider answers, by the same gate as every other request.

use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use sqlx::PgPool;
use tokio::time::timeout;

use super::breaker::{self, Outcome};
use super::{Course, Instance, Request};
use crate::price_event::PriceEvent;
use crate::price_log::PublishError;
use crate::provider::{Answer, Provider, ProviderError};
use crate::repository;
use crate::repository::raw_responses::RawResponse;

/// The symbol that is asked for; every provider probably knows it.
const PROBE_SYMBOL: &str = "AAPL";
/// Longest wait for the answer. A provider that takes longer has not failed: see [`breaker`].
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest that Postgres may take to admit the request.
const STATEMENT: Duration = Duration::from_secs(2);

/// Asks the provider for one symbol, if its breaker and its budget let the request pass. The breaker
/// learns the result. The request counts, so callers use the result again for a while.
///
/// # Errors
/// When the provider does not answer within three seconds, or must not be asked.
pub async fn probe(
    pool: &PgPool,
    instance: &Instance,
    provider: &dyn Provider,
) -> Result<(), ProviderError> {
    let unknown = || ProviderError::Unavailable {
        provider: provider.name().clone(),
        reason: "Postgres does not say whether it may be asked".to_owned(),
    };

    let gate = &instance.gate;
    let passed = gate.pass(&Probing(pool), provider, 1).await;
    let pass = passed.map_err(|NoAnswer| unknown())??;

    let symbols = [PROBE_SYMBOL.parse().expect("a symbol")];
    let fetch = provider.fetch(&symbols, Utc::now());
    let fetched = timeout(PROBE_TIMEOUT, fetch).await;

    let outcome = match &fetched {
        Ok(answered) => Outcome::Came(answered),
        Err(_) => Outcome::CutOff(PROBE_TIMEOUT),
    };
    breaker::report(pool, gate, provider, &pass, &outcome).await;
    gate.settle(pool, provider, symbols.len()).await;

    match fetched {
        Ok(answered) => answered.map(drop),
        Err(_) => Err(ProviderError::Unavailable {
            provider: provider.name().clone(),
            reason: format!("no answer within {} s", PROBE_TIMEOUT.as_secs()),
        }),
    }
}

/// A request that is neither stored nor published.
struct Probing<'a>(&'a PgPool);

/// Postgres did not answer in time.
struct NoAnswer;

#[async_trait]
impl Course for Probing<'_> {
    type Error = NoAnswer;

    fn pool(&self) -> &PgPool {
        self.0
    }

    async fn postgres<T, F, S>(&self, _: &'static str, statement: S) -> Result<T, NoAnswer>
    where
        T: Send,
        F: Future<Output = Result<T, repository::Error>> + Send,
        S: Fn() -> F + Send + Sync,
    {
        match timeout(STATEMENT, statement()).await {
            Ok(Ok(value)) => Ok(value),
            _ => Err(NoAnswer),
        }
    }

    fn longest_wait_for_others(&self) -> Duration {
        Duration::ZERO
    }

    async fn pause(&self, _: Duration) -> Result<bool, NoAnswer> {
        Ok(false)
    }

    async fn fetch(&self, request: Request<'_>) -> Result<Result<Answer, ProviderError>, NoAnswer> {
        Ok(request.await)
    }

    async fn store(&self, _: &RawResponse<'_>) -> Result<(), NoAnswer> {
        Ok(())
    }

    async fn append(&self, _: &[PriceEvent]) -> Option<Vec<Result<(), PublishError>>> {
        None
    }
}
