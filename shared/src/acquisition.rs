//! Acquires quotes: asks a provider, stores its raw response, and publishes one event per quote.
//!
//! This is the only way from a provider to the log. Api and poller differ in how long each step may
//! take and in what happens between the steps: that is their [`Course`]. Before a provider is
//! asked, its breaker and its budget must let the request pass (`gate`), and whoever wants a
//! quote that is being fetched waits for it instead (`sharing`, `flights`). [`fallback`] says
//! for which symbols the next provider is asked.

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgPool;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::market::{Symbol, Timestamp, Trading};
use crate::price_event::PriceEvent;
use crate::price_log::PublishError;
use crate::provider::{Answer, Provider, ProviderError, REQUEST_TIMEOUT};
use crate::repository;
use crate::repository::raw_responses::RawResponse;

mod breaker;
pub mod fallback;
mod flights;
mod gate;
mod probe;
mod sharing;

use breaker::Outcome;
use flights::Flights;
use gate::Gate;
pub use probe::probe;
use sharing::Hold;
pub use sharing::acquire;

/// A request to a provider, not yet awaited.
pub type Request<'a> = Pin<Box<dyn Future<Output = Result<Answer, ProviderError>> + Send + 'a>>;

/// How a caller takes the steps of an acquisition.
#[async_trait]
pub trait Course: Sync {
    /// Why the caller ends an acquisition before its quotes are published.
    type Error: Send;

    /// Where budgets, breakers and leases are.
    fn pool(&self) -> &PgPool;

    /// Runs a statement within the time that the caller has for Postgres. `step` names it in
    /// errors, as an infinitive.
    ///
    /// # Errors
    /// When Postgres refuses it, or is not available for as long as the caller may wait.
    async fn postgres<T, F, S>(&self, step: &'static str, statement: S) -> Result<T, Self::Error>
    where
        T: Send,
        F: Future<Output = Result<T, repository::Error>> + Send,
        S: Fn() -> F + Send + Sync;

    /// How long the caller can wait for a quote that another caller fetches.
    fn longest_wait_for_others(&self) -> Duration;

    /// Waits until the budget has tokens again, if the caller has the time; returns whether it has
    /// waited.
    ///
    /// # Errors
    /// When the caller may not continue.
    async fn pause(&self, wait: Duration) -> Result<bool, Self::Error>;

    /// Waits for the provider's answer.
    ///
    /// # Errors
    /// When the caller has no time left to store and publish what would be fetched.
    async fn fetch(
        &self,
        request: Request<'_>,
    ) -> Result<Result<Answer, ProviderError>, Self::Error>;

    /// Runs after each request, failed or not, and before its answer is stored.
    ///
    /// # Errors
    /// When the caller may not continue.
    async fn fetched(&self) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Stores the raw response.
    ///
    /// # Errors
    /// When it was not stored. Nothing is published then.
    async fn store(&self, response: &RawResponse<'_>) -> Result<(), Self::Error>;

    /// Appends the events to the log, and returns one result per event, in order. `None` if no time
    /// was left, so that it is unknown which of them the log has.
    async fn append(&self, events: &[PriceEvent]) -> Option<Vec<Result<(), PublishError>>>;
}

/// What one instance remembers between acquisitions: tokens that it took from the budgets, and the
/// fetches in flight. It only saves calls; losing it is harmless.
#[derive(Debug, Default)]
pub struct Instance {
    gate: Gate,
    flights: Flights,
}

/// Which quotes are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// The tick's time in a poll, otherwise the current time. Only `replay` reads it, to choose the
    /// recorded price.
    pub at: Timestamp,
    /// A quote that was polled at or after this moment may be shared. With `None` the provider is
    /// asked in any case.
    pub accepts: Option<Timestamp>,
}

/// Why a symbol has no quote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// The provider gave none.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The log did not acknowledge it.
    #[error(transparent)]
    Log(#[from] PublishError),
    /// No time was left until the log had acknowledged it.
    #[error("no time was left to publish the quotes")]
    OutOfTime,
}

impl Loss {
    /// The kind of the loss, as the API's problems name it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Provider(error) => error.kind(),
            Self::Log(_) | Self::OutOfTime => "kafka-unavailable",
        }
    }

    /// The provider's error, if it is one.
    #[must_use]
    pub fn provider(&self) -> Option<&ProviderError> {
        match self {
            Self::Provider(error) => Some(error),
            Self::Log(_) | Self::OutOfTime => None,
        }
    }
}

/// What became of the symbols of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acquired {
    /// The published event of each symbol, or why there is none, without an order.
    pub quotes: Vec<(Symbol, Result<PriceEvent, Loss>)>,
    /// Why the request as a whole failed, so that none of its symbols has a quote.
    pub failure: Option<ProviderError>,
    /// When symbols trade, as far as the answer tells.
    pub trading: Vec<(Symbol, Trading)>,
}

impl Acquired {
    /// Whether there were quotes, and the log acknowledged none of them.
    #[must_use]
    pub fn log_failed(&self) -> bool {
        let lost = |loss: &Loss| matches!(loss, Loss::Log(_) | Loss::OutOfTime);
        let published = self.quotes.iter().any(|(_, quote)| quote.is_ok());
        let mut losses = self
            .quotes
            .iter()
            .filter_map(|(_, quote)| quote.as_ref().err());

        !published && losses.any(lost)
    }

    /// The whole request failed, or was not sent.
    #[must_use]
    pub fn failed(symbols: &[Symbol], error: ProviderError) -> Self {
        let lost = |symbol: &Symbol| (symbol.clone(), Err(Loss::Provider(error.clone())));
        Self {
            quotes: symbols.iter().map(lost).collect(),
            failure: Some(error),
            trading: Vec::new(),
        }
    }

    /// Adds what became of further symbols.
    fn add(&mut self, other: Self) {
        self.quotes.extend(other.quotes);
        self.trading.extend(other.trading);
        self.failure = self.failure.take().or(other.failure);
    }
}

/// Asks for `symbols` in one request, and publishes what came. If the answer does not tell which
/// symbol is unknown, a second request does. `hold` has the leases on the symbols, if there are any.
async fn ask<C: Course>(
    course: &C,
    instance: &Instance,
    provider: &dyn Provider,
    symbols: &[Symbol],
    at: Timestamp,
    hold: Option<&Hold<'_>>,
) -> Result<Acquired, C::Error> {
    let (count, mut took) = (symbols.len(), Duration::ZERO);
    let fetch = Box::pin(async {
        let began = Instant::now();
        let answer = provider.fetch(symbols, at).await;
        took = began.elapsed();
        answer
    });
    let mut answer = send(course, instance, provider, count, fetch, hold).await?;

    if let Ok(first) = &answer
        && provider.is_undecided(first)
    {
        // Both share the time of one.
        let left = REQUEST_TIMEOUT.saturating_sub(took);
        let fetch = Box::pin(async {
            let fetched = timeout(left, provider.fetch_among_all(symbols, at)).await;
            fetched.unwrap_or_else(|_| {
                let provider = provider.name().clone();
                Err(ProviderError::TimedOut { provider })
            })
        });
        answer = send(course, instance, provider, count, fetch, hold).await?;
    }

    match answer {
        Ok(answer) => publish(course, provider, symbols, answer).await,
        Err(error) => Ok(Acquired::failed(symbols, error)),
    }
}

/// Sends a request for this many symbols, once the breaker and the budget let it pass.
async fn send<C: Course>(
    course: &C,
    instance: &Instance,
    provider: &dyn Provider,
    symbols: usize,
    request: Request<'_>,
    hold: Option<&Hold<'_>>,
) -> Result<Result<Answer, ProviderError>, C::Error> {
    let pass = match instance.gate.pass(course, provider, symbols).await? {
        Ok(pass) => pass,
        Err(error) => return Ok(Err(error)),
    };
    if let Some(hold) = hold {
        hold.begin();
    }

    let (pool, gate, began) = (course.pool(), &instance.gate, Instant::now());
    let answer = match course.fetch(request).await {
        Ok(answer) => answer,
        Err(ended) => {
            let cut_off = Outcome::CutOff(began.elapsed());
            breaker::report(pool, gate, provider, &pass, &cut_off).await;
            gate.settle(pool, provider, symbols).await;
            return Err(ended);
        }
    };
    // A caller may also leave early without ending: it asks the next provider.
    let outcome = match &answer {
        Err(ProviderError::TimedOut { .. }) => Outcome::CutOff(began.elapsed()),
        answer => Outcome::Came(answer),
    };
    // Both before `fetched`, which may end the acquisition: the request was sent, so its result
    // counts for the breaker, and what it cost for the budget.
    breaker::report(pool, gate, provider, &pass, &outcome).await;
    gate.settle(pool, provider, symbols).await;

    course.fetched().await?;
    Ok(answer)
}

/// Stores the raw response, and publishes its quotes.
async fn publish<C: Course>(
    course: &C,
    provider: &dyn Provider,
    symbols: &[Symbol],
    answer: Answer,
) -> Result<Acquired, C::Error> {
    // Stored before the events are published: each event refers to the stored response.
    let raw_response_id = Uuid::now_v7();
    let response = RawResponse {
        raw_response_id,
        provider: provider.name(),
        symbols,
        received_at: answer.received_at,
        body: &answer.body,
    };
    if answer.requests > 0 {
        course.store(&response).await?;
    }
    let trading = provider.trading(symbols, &answer).await;

    let mut quotes = Vec::with_capacity(symbols.len());
    let mut events = Vec::with_capacity(symbols.len());
    for (symbol, quote) in answer.quotes {
        match quote {
            Ok(quote) => events.push(PriceEvent::of_quote(
                quote,
                provider.name().clone(),
                answer.received_at,
                raw_response_id,
            )),
            Err(error) => quotes.push((symbol, Err(error.into()))),
        }
    }

    if !events.is_empty() {
        let results = course.append(&events).await;
        debug_assert!(
            results
                .as_ref()
                .is_none_or(|results| results.len() == events.len()),
            "the log returns one result per event"
        );
        quotes.extend(published(events, results));
    }
    Ok(Acquired {
        quotes,
        failure: None,
        trading,
    })
}

/// Each event with its result. One without a result was not acknowledged in time.
fn published(
    events: Vec<PriceEvent>,
    results: Option<Vec<Result<(), PublishError>>>,
) -> impl Iterator<Item = (Symbol, Result<PriceEvent, Loss>)> {
    let mut results = results.unwrap_or_default().into_iter();

    events.into_iter().map(move |event| {
        let symbol = event.symbol.clone();
        let quote = match results.next() {
            Some(Ok(())) => Ok(event),
            Some(Err(error)) => Err(error.into()),
            None => Err(Loss::OutOfTime),
        };
        (symbol, quote)
    })
}

#[cfg(test)]
mod tests;
