//! A provider with limits and a script, and a caller that stores and publishes nothing.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use shared::acquisition::{Acquired, Course, Instance, Request, Wish, acquire};
use shared::market::{ProviderName, Quote, Symbol, Timestamp};
use shared::price_event::PriceEvent;
use shared::price_log::PublishError;
use shared::provider::{Answer, Limits, Provider, ProviderError, Refusal};
use shared::repository;
use shared::repository::raw_responses::RawResponse;
use shared::repository::request_budgets::{ProviderState, provider_states};
use sqlx::PgPool;

use crate::world::symbols;

/// Stores and publishes nothing, and does not wait for a budget.
pub(crate) struct Impatient<'a> {
    pub(crate) pool: &'a PgPool,
    /// How long it waits for an answer.
    pub(crate) waits: Duration,
    /// Whether it could ask another provider after that. Otherwise it ends.
    pub(crate) goes_on: bool,
    pub(crate) stored: AtomicUsize,
}

impl<'a> Impatient<'a> {
    pub(crate) fn new(pool: &'a PgPool) -> Self {
        Self {
            pool,
            waits: Duration::from_secs(60),
            goes_on: false,
            stored: AtomicUsize::new(0),
        }
    }
}

/// The caller's time was up, or Postgres refused.
#[derive(Debug)]
pub(crate) struct Ended;

#[async_trait]
impl Course for Impatient<'_> {
    type Error = Ended;

    fn pool(&self) -> &PgPool {
        self.pool
    }

    async fn postgres<T, F, S>(&self, _: &'static str, statement: S) -> Result<T, Ended>
    where
        T: Send,
        F: Future<Output = Result<T, repository::Error>> + Send,
        S: Fn() -> F + Send + Sync,
    {
        statement().await.map_err(|_| Ended)
    }

    fn longest_wait_for_others(&self) -> Duration {
        self.waits
    }

    async fn pause(&self, _: Duration) -> Result<bool, Ended> {
        Ok(false)
    }

    async fn fetch(&self, request: Request<'_>) -> Result<Result<Answer, ProviderError>, Ended> {
        let fetched = tokio::time::timeout(self.waits, request).await;
        fetched.or_else(|_| {
            let provider = "metered".parse().expect("as in every test");
            let late = Err(ProviderError::TimedOut { provider });
            self.goes_on.then_some(late).ok_or(Ended)
        })
    }

    async fn store(&self, _: &RawResponse<'_>) -> Result<(), Ended> {
        self.stored.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn append(&self, events: &[PriceEvent]) -> Option<Vec<Result<(), PublishError>>> {
        Some(events.iter().map(|_| Ok(())).collect())
    }
}

/// What a provider does with a request. Without a script it gives quotes at once.
pub(crate) enum Act {
    Fails(ProviderError),
    Takes(Duration),
    /// Knows without a request that it has none of the symbols.
    SendsNothing,
    /// Sends us elsewhere this many times, and then to where we do not follow.
    SendsElsewhere(u32),
    /// Takes this long, and does not tell which of the symbols it does not know.
    IsUndecided(Duration),
}

/// A provider with limits.
#[derive(Debug)]
pub(crate) struct Metered {
    name: ProviderName,
    limits: Limits,
    script: Mutex<VecDeque<Act>>,
    asked: AtomicUsize,
    open: AtomicUsize,
    pub(crate) most_open: AtomicUsize,
    redirections: AtomicU32,
}

impl std::fmt::Debug for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Act")
    }
}

impl Metered {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            name: "metered".parse().expect("as in every test"),
            limits,
            script: Mutex::default(),
            asked: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            redirections: AtomicU32::new(0),
        }
    }

    pub(crate) fn will(&self, acts: impl IntoIterator<Item = Act>) {
        self.script.lock().expect("as in every test").extend(acts);
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn timed_out(&self) -> ProviderError {
        ProviderError::TimedOut {
            provider: self.name.clone(),
        }
    }

    pub(crate) fn away(&self) -> ProviderError {
        ProviderError::Unavailable {
            provider: self.name.clone(),
            reason: "as told".to_owned(),
        }
    }

    pub(crate) fn limit(&self, retry_after: Option<Duration>) -> ProviderError {
        ProviderError::RateLimited {
            provider: self.name.clone(),
            retry_after,
            scope: None,
        }
    }

    pub(crate) fn refusal(&self, refusal: Refusal) -> ProviderError {
        ProviderError::NotAllowed {
            provider: self.name.clone(),
            refusal,
        }
    }
}

#[async_trait]
impl Provider for Metered {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    async fn fetch(&self, symbols: &[Symbol], _: Timestamp) -> Result<Answer, ProviderError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_open.fetch_max(open, Ordering::SeqCst);
        let act = self.script.lock().expect("as in every test").pop_front();

        let (mut requests, mut knows) = (1, true);
        match &act {
            Some(Act::Takes(time)) => tokio::time::sleep(*time).await,
            Some(Act::SendsNothing) => (requests, knows) = (0, false),
            Some(Act::IsUndecided(time)) => {
                tokio::time::sleep(*time).await;
                knows = false;
            }
            Some(Act::SendsElsewhere(times)) => {
                self.redirections.fetch_add(*times, Ordering::SeqCst);
            }
            Some(Act::Fails(_)) | None => {}
        }
        self.open.fetch_sub(1, Ordering::SeqCst);
        match act {
            Some(Act::Fails(error)) => return Err(error),
            Some(Act::SendsElsewhere(_)) => return Err(self.away()),
            _ => {}
        }

        let quote = |symbol: &Symbol| {
            if !knows {
                return Err(ProviderError::UnknownSymbol {
                    symbol: symbol.clone(),
                    provider: self.name.clone(),
                });
            }
            Ok(Quote {
                symbol: symbol.clone(),
                price: "1.5".parse().expect("as in every test"),
                currency: None,
                timestamp: Utc::now(),
            })
        };
        Ok(Answer {
            received_at: Utc::now(),
            requests,
            body: "{}".to_owned(),
            quotes: symbols
                .iter()
                .map(|symbol| (symbol.clone(), quote(symbol)))
                .collect(),
        })
    }

    fn take_redirections(&self) -> u32 {
        self.redirections.swap(0, Ordering::SeqCst)
    }

    fn is_undecided(&self, answer: &Answer) -> bool {
        answer.requests > 0 && answer.quotes.iter().all(|(_, quote)| quote.is_err())
    }
}

/// Asks for one symbol, in any case.
pub(crate) async fn ask(
    course: &Impatient<'_>,
    instance: &Instance,
    provider: &Metered,
) -> Result<Acquired, Ended> {
    let wish = Wish {
        at: Utc::now(),
        accepts: None,
    };
    acquire(course, instance, provider, &symbols(&["AAPL"]), wish).await
}

/// Asks for one symbol, and returns why it got none.
pub(crate) async fn failure(
    course: &Impatient<'_>,
    instance: &Instance,
    provider: &Metered,
) -> Option<ProviderError> {
    let acquired = ask(course, instance, provider).await;
    acquired.expect("as in every test").failure
}

pub(crate) async fn pool() -> PgPool {
    e2e::postgres::database().await.expect("as in every test")
}

pub(crate) async fn state(pool: &PgPool) -> ProviderState {
    let states = provider_states(pool).await.expect("as in every test");
    states.into_iter().next().expect("as in every test")
}

/// Ends the pause of the open breaker, and lets an instance forget that it was open.
pub(crate) async fn half_open(pool: &PgPool) -> Instance {
    sqlx::query("update request_budgets set open_until = now()")
        .execute(pool)
        .await
        .expect("as in every test");
    Instance::default()
}

pub(crate) fn per_minute(limit: u32) -> Limits {
    Limits {
        per_minute: Some(limit),
        ..Limits::unlimited(10)
    }
}
