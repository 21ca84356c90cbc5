//! Acquires quotes: asks a provider, stores its raw response, and publishes one event per quote.
//!
//! This is the only way from a provider to the log. Api and poller differ in how long each step may
//! take and in what happens between the steps: that is their [`Course`].

use std::pin::Pin;

use async_trait::async_trait;
use uuid::Uuid;

use crate::market::{Symbol, Timestamp};
use crate::price_event::PriceEvent;
use crate::price_log::PublishError;
use crate::provider::{Answer, Provider, ProviderError};
use crate::repository::raw_responses::RawResponse;

/// A request to a provider, not yet awaited.
pub type Request<'a> = Pin<Box<dyn Future<Output = Result<Answer, ProviderError>> + Send + 'a>>;

/// How a caller takes the steps of an acquisition.
#[async_trait]
pub trait Course: Sync {
    /// Why the caller ends an acquisition before its quotes are published.
    type Error: Send;

    /// Waits for the provider's answer.
    ///
    /// # Errors
    /// When the caller has no time left to store and publish what would be fetched.
    async fn fetch(
        &self,
        request: Request<'_>,
    ) -> Result<Result<Answer, ProviderError>, Self::Error>;

    /// Runs after each request, whatever its result, and before anything of it is stored.
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

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquired {
    /// The published event of each symbol, or why there is none, without an order.
    pub quotes: Vec<(Symbol, Result<PriceEvent, Loss>)>,
}

impl Acquired {
    /// The number of quotes that the log acknowledged.
    #[must_use]
    pub fn published(&self) -> usize {
        self.quotes
            .iter()
            .filter(|(_, quote)| quote.is_ok())
            .count()
    }

    /// Whether there were quotes, and the log acknowledged none of them.
    #[must_use]
    pub fn log_failed(&self) -> bool {
        let lost = |loss: &Loss| matches!(loss, Loss::Log(_) | Loss::OutOfTime);
        let mut losses = self
            .quotes
            .iter()
            .filter_map(|(_, quote)| quote.as_ref().err());

        self.published() == 0 && losses.any(lost)
    }
}

/// Acquires the quotes of `symbols` in one request, as of `at`.
///
/// The outer error is the caller's own, the inner one that of the whole request.
///
/// # Errors
/// When a step of the `course` fails.
pub async fn acquire<C: Course>(
    course: &C,
    provider: &dyn Provider,
    symbols: &[Symbol],
    at: Timestamp,
) -> Result<Result<Acquired, ProviderError>, C::Error> {
    let answer = course.fetch(provider.fetch(symbols, at)).await?;
    course.fetched().await?;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(error)),
    };

    // Stored before the events are published: each event refers to the stored response.
    let raw_response_id = Uuid::now_v7();
    let response = RawResponse {
        raw_response_id,
        provider: provider.name(),
        symbols,
        received_at: answer.received_at,
        body: &answer.body,
    };
    course.store(&response).await?;

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
        quotes.extend(published(events, results));
    }
    Ok(Ok(Acquired { quotes }))
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
