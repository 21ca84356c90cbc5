//! What a request costs at the gate of its provider.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use shared::acquisition::{Course, Request, Wish, acquire};
use shared::price_event::PriceEvent;
use shared::price_log::PublishError;
use shared::provider::{Answer, ProviderError};
use shared::repository;
use shared::repository::raw_responses::RawResponse;
use sqlx::PgPool;

use crate::world::{World, at, symbols};

/// Counts the statements at the gate, and stores and publishes nothing.
struct Counting<'a> {
    pool: &'a PgPool,
    statements: AtomicUsize,
}

#[async_trait]
impl Course for Counting<'_> {
    type Error = repository::Error;

    fn pool(&self) -> &PgPool {
        self.pool
    }

    async fn postgres<T, F, S>(&self, _: &'static str, statement: S) -> Result<T, repository::Error>
    where
        T: Send,
        F: Future<Output = Result<T, repository::Error>> + Send,
        S: Fn() -> F + Send + Sync,
    {
        self.statements.fetch_add(1, Ordering::Relaxed);
        statement().await
    }

    fn longest_wait_for_others(&self) -> Duration {
        Duration::ZERO
    }

    async fn pause(&self, _: Duration) -> Result<bool, repository::Error> {
        Ok(false)
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

#[tokio::test]
async fn no_statement_is_sent_while_the_instance_holds_tokens() -> anyhow::Result<()> {
    const REQUESTS: usize = 2_000;

    let (world, _) = World::with_job(60).await?;
    let course = Counting {
        pool: &world.pool,
        statements: AtomicUsize::new(0),
    };
    let symbols = symbols(&["AAPL"]);
    let wish = Wish {
        at: at(0),
        accepts: None,
    };

    let began = Instant::now();
    let instance = &world.poller.instance;
    for _ in 0..REQUESTS {
        let acquired = acquire(&course, instance, &*world.provider, &symbols, wish);
        assert!(acquired.await?.failure.is_none());
    }

    let took = began.elapsed();
    let statements = course.statements.into_inner();
    println!("{REQUESTS} requests: {statements} statements, {took:?} in all");
    // The tokens taken ahead double until they are a second's worth, and expire after a second.
    let seconds = usize::try_from(took.as_secs())?;
    assert!(
        statements <= 12 + 12 * (seconds + 1),
        "{statements} in {took:?}"
    );
    assert_eq!(world.provider.ticks().len(), REQUESTS);
    Ok(())
}

/// Prints what one statement takes; `cargo test --test polling -- what_a_statement --nocapture`.
#[tokio::test]
async fn what_a_statement_at_the_gate_takes_is_printed() -> anyhow::Result<()> {
    const STATEMENTS: u32 = 500;

    let (world, _) = World::with_job(60).await?;
    let symbols = symbols(&["AAPL"]);
    let wish = Wish {
        at: at(0),
        accepts: None,
    };
    let course = Counting {
        pool: &world.pool,
        statements: AtomicUsize::new(0),
    };

    let began = Instant::now();
    for _ in 0..STATEMENTS {
        // A new instance holds nothing.
        let instance = shared::acquisition::Instance::default();
        let acquired = acquire(&course, &instance, &*world.provider, &symbols, wish);
        assert!(acquired.await?.failure.is_none());
    }

    println!("{:?} for each statement", began.elapsed() / STATEMENTS);
    assert_eq!(course.statements.into_inner(), STATEMENTS as usize);
    Ok(())
}
