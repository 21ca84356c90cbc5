//! Checks whether a provider answers, by the same gate as every other request.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgPool;
use tokio::time::timeout;

use super::{Course, Instance, Request, breaker};
use crate::price_event::PriceEvent;
use crate::price_log::PublishError;
use crate::provider::{Answer, PROBE_TIMEOUT, Provider, ProviderError};
use crate::repository;
use crate::repository::raw_responses::RawResponse;

/// Longest that Postgres may take to admit the request.
const STATEMENT: Duration = Duration::from_secs(2);

/// Sends the provider's probe, if its breaker and its budget let it pass. The breaker learns the
/// result.
///
/// # Errors
/// When the provider does not answer, or must not be asked.
pub async fn probe(
    pool: &PgPool,
    instance: &Instance,
    provider: &dyn Provider,
) -> Result<(), ProviderError> {
    let unknown = || ProviderError::Unavailable {
        provider: provider.name().clone(),
        reason: "Postgres does not say whether it may be asked".to_owned(),
    };

    let passed = instance.gate.pass(&Probing(pool), provider, 1).await;
    let pass = passed.map_err(|NoAnswer| unknown())??;

    let answered = timeout(PROBE_TIMEOUT, provider.probe()).await;
    let answered = answered.unwrap_or_else(|_| {
        Err(ProviderError::TimedOut {
            provider: provider.name().clone(),
        })
    });
    breaker::report(
        pool,
        &instance.gate,
        provider,
        &pass,
        answered.as_ref().err(),
    )
    .await;
    answered
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
