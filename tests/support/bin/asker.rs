//! Asks Coinbase for a price, again and again, as one instance of a function does, until its
//! standard input closes. Nothing is stored or published.
//!
//! The tests run many of them, which share the provider's budget and breaker.

use std::io::Read;
use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use shared::acquisition::{Course, Instance, Request, Wish, acquire};
use shared::price_event::PriceEvent;
use shared::price_log::PublishError;
use shared::provider::{Answer, ProviderError, Providers};
use shared::repository::raw_responses::RawResponse;
use shared::{config, repository, telemetry};
use sqlx::PgPool;

/// How many requests of one process wait at the same time.
const TASKS: usize = 4;
/// Pause after a request that may not be sent.
const PAUSE: Duration = Duration::from_millis(20);

struct Asking(PgPool);

#[async_trait]
impl Course for Asking {
    type Error = repository::Error;

    fn pool(&self) -> &PgPool {
        &self.0
    }

    async fn postgres<T, F, S>(&self, _: &'static str, statement: S) -> Result<T, repository::Error>
    where
        T: Send,
        F: Future<Output = Result<T, repository::Error>> + Send,
        S: Fn() -> F + Send + Sync,
    {
        statement().await
    }

    fn longest_wait_for_others(&self) -> Duration {
        Duration::from_secs(10)
    }

    async fn pause(&self, wait: Duration) -> Result<bool, repository::Error> {
        tokio::time::sleep(wait).await;
        Ok(true)
    }

    async fn fetch(
        &self,
        request: Request<'_>,
    ) -> Result<Result<Answer, ProviderError>, repository::Error> {
        Ok(request.await)
    }

    async fn store(&self, _: &RawResponse<'_>) -> Result<(), repository::Error> {
        Ok(())
    }

    async fn append(&self, events: &[PriceEvent]) -> Option<Vec<Result<(), PublishError>>> {
        Some(events.iter().map(|_| Ok(())).collect())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    telemetry::init();
    let config = config::or_exit(config::Poller::from_environment());
    let asking = Asking(repository::connect(&config.database.url, 2)?);
    let providers = Providers::new(&config.providers);
    let instance = Instance::default();

    let coinbase = providers.get(&"coinbase".parse()?);
    let coinbase = coinbase.ok_or("there is no coinbase")?;
    let symbols = ["BTC-USD".parse()?];

    let ask = || async {
        loop {
            let wish = Wish {
                at: Utc::now(),
                accepts: None,
            };
            let asked = acquire(&asking, &instance, coinbase.as_ref(), &symbols, wish).await;
            if !asked.is_ok_and(|asked| asked.failure.is_none()) {
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    let all = futures::future::join_all((0..TASKS).map(|_| ask()));

    let closed = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
    tokio::select! {
        _ = all => {}
        _ = closed => {}
    }
    Ok(())
}
