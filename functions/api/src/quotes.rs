//! Reads quotes: a stored one if it is fresh enough; otherwise one from the provider, which is
//! published before it is returned. Walk 1 in the architecture describes it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures::stream::{self, StreamExt};
use serde::Serialize;
use shared::market::{Currency, ProviderName, Symbol, Timestamp};
use shared::price::Price;
use shared::price_event::{CLOCK_TOLERANCE, PriceEvent};
use shared::provider::{Answer, Provider, ProviderError};
use shared::repository::raw_responses::{self, RawResponse};
use shared::repository::series::{self, Series};
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::deadline::Deadline;
use crate::problem::Problem;
use crate::schema::ExactNumber;
use crate::state::AppState;

/// Most requests to a provider that one request of a client has open at a time.
const CONCURRENT_BATCHES: usize = 4;
/// Longest wait for a provider's answer; the provider's own limit is shorter.
const FETCH_TIMEOUT: Duration = Duration::from_secs(11);
/// Longest wait until a raw response is stored.
const STORE_TIMEOUT: Duration = Duration::from_secs(4);
/// Longest wait for Kafka's acknowledgements; the log's own limit is shorter.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(4);

/// A quote: a provider's price of a symbol at a market time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct LatestQuote {
    /// The symbol that is priced.
    #[schema(value_type = String, example = "AAPL")]
    pub(crate) symbol: Symbol,
    /// The price, in units of `currency`.
    #[schema(value_type = ExactNumber)]
    price: Price,
    /// Unit of the price as the provider writes it, such as `USD`, or `GBp` for pence; null if the
    /// provider does not name it.
    #[schema(value_type = Option<String>, required, example = "USD")]
    currency: Option<Currency>,
    /// Market time of the quote.
    #[schema(value_type = String, format = DateTime, example = "2024-03-20T10:30:00Z")]
    timestamp: Timestamp,
    /// The provider of the quote.
    #[schema(value_type = String, example = "yahoo")]
    provider: ProviderName,
    /// When the provider answered.
    #[schema(value_type = String, format = DateTime, example = "2024-03-20T10:30:02.114Z")]
    polled_at: Timestamp,
}

impl From<Series> for LatestQuote {
    fn from(series: Series) -> Self {
        let Series {
            symbol,
            price,
            currency,
            timestamp,
            provider,
            polled_at,
            ..
        } = series;
        Self {
            symbol,
            price,
            currency,
            timestamp,
            provider,
            polled_at,
        }
    }
}

impl From<PriceEvent> for LatestQuote {
    fn from(event: PriceEvent) -> Self {
        let PriceEvent {
            symbol,
            price,
            currency,
            timestamp,
            provider,
            polled_at,
            ..
        } = event;
        Self {
            symbol,
            price,
            currency,
            timestamp,
            provider,
            polled_at,
        }
    }
}

/// The outcome for one symbol.
pub(crate) type Outcome = Result<LatestQuote, Problem>;

/// Returns the latest quote of each symbol, in the order of `symbols`.
///
/// A quote that was polled within `max_age` comes from Postgres, under the given spelling or, if
/// there is none, in upper case. The others are requested from the provider in batches, in upper
/// case. They are published, and returned once Kafka has acknowledged them. All of it ends within
/// [`AppState::asking_time`]; a symbol without a quote by then gets a problem.
pub(crate) async fn latest(
    state: &AppState,
    provider: &Arc<dyn Provider>,
    symbols: &[Symbol],
    max_age: TimeDelta,
    now: Timestamp,
) -> Result<Vec<Outcome>, Problem> {
    let deadline = Deadline::after(state.asking_time);

    let spellings: Vec<Symbol> = symbols
        .iter()
        .cloned()
        .chain(symbols.iter().map(Symbol::to_upper_case))
        .collect();
    let stored = deadline
        .postgres(series::of_provider(&state.db, &spellings, provider.name()))
        .await?;
    let mut outcomes: HashMap<Symbol, Outcome> = stored
        .into_iter()
        .filter(|series| is_fresh(series.polled_at, max_age, now))
        .map(|series| (series.symbol.clone(), Ok(series.into())))
        .collect();

    let stale: Vec<Symbol> = stale(symbols, &outcomes);
    let batches: Vec<Vec<Symbol>> = stale
        .chunks(provider.max_symbols().max(1))
        .map(<[Symbol]>::to_vec)
        .collect();
    let asking = Asking {
        state,
        provider,
        now,
        deadline,
    };

    // Unordered, so that a slow batch does not delay the start of later ones. The order of
    // `symbols` is restored below.
    let asked = stream::iter(batches)
        .map(|batch| asking.ask(batch))
        .buffer_unordered(CONCURRENT_BATCHES);
    outcomes.extend(asked.collect::<Vec<_>>().await.into_iter().flatten());

    let absent = || {
        Err(ProviderError::Malformed {
            provider: provider.name().clone(),
            reason: "a symbol is missing from it".to_owned(),
        }
        .into())
    };
    let outcome = |symbol: &Symbol| {
        outcomes
            .get(symbol)
            .or_else(|| outcomes.get(&symbol.to_upper_case()))
    };

    Ok(symbols
        .iter()
        .map(|symbol| outcome(symbol).cloned().unwrap_or_else(absent))
        .collect())
}

/// The symbols to request: those without a fresh quote in either spelling, in upper case, each
/// once.
fn stale(symbols: &[Symbol], fresh: &HashMap<Symbol, Outcome>) -> Vec<Symbol> {
    let mut seen = HashSet::new();
    symbols
        .iter()
        .filter(|symbol| !fresh.contains_key(symbol))
        .map(Symbol::to_upper_case)
        .filter(|symbol| !fresh.contains_key(symbol) && seen.insert(symbol.clone()))
        .collect()
}

/// Whether a quote polled at `polled_at` is fresh enough. One whose time is further in the future
/// than clocks differ is not: it would stay fresh until `max_age` after that time.
fn is_fresh(polled_at: Timestamp, max_age: TimeDelta, now: Timestamp) -> bool {
    let age = now - polled_at;
    max_age > TimeDelta::zero() && age <= max_age && age >= -CLOCK_TOLERANCE
}

/// The context that all batches of one request share.
struct Asking<'a> {
    state: &'a AppState,
    provider: &'a Arc<dyn Provider>,
    now: Timestamp,
    /// The end of the request's time, storing and publishing included.
    deadline: Deadline,
}

impl Asking<'_> {
    /// Requests one batch. A problem of the whole batch becomes a problem of each of its symbols.
    async fn ask(&self, batch: Vec<Symbol>) -> Vec<(Symbol, Outcome)> {
        let outcomes = self.fetch_and_publish(&batch).await;

        outcomes.unwrap_or_else(|problem| {
            batch
                .into_iter()
                .map(|symbol| (symbol, Err(problem.clone())))
                .collect()
        })
    }

    /// Fetches a batch, stores the raw response, and publishes the quotes.
    async fn fetch_and_publish(&self, batch: &[Symbol]) -> Result<Vec<(Symbol, Outcome)>, Problem> {
        // Checked before the provider is asked: its quotes could not be published.
        if self.state.observed.log_is_unavailable(Instant::now()) {
            return Err(Problem::kafka_unavailable());
        }

        let answer = self.fetch(batch).await?;

        let raw_response_id = Uuid::now_v7();
        let mut outcomes = Vec::with_capacity(batch.len());
        let mut events = Vec::with_capacity(batch.len());
        for (symbol, quote) in &answer.quotes {
            match quote {
                Ok(quote) => {
                    let name = self.provider.name().clone();
                    let polled_at = answer.received_at;
                    events.push(PriceEvent::of_quote(
                        quote.clone(),
                        name,
                        polled_at,
                        raw_response_id,
                    ));
                }
                Err(error) => outcomes.push((symbol.clone(), Err(error.clone().into()))),
            }
        }

        // Stored before the events are published: each event refers to the stored response.
        if !events.is_empty() {
            self.store(batch, &answer, raw_response_id).await?;
            outcomes.extend(self.publish(events).await);
        }
        Ok(outcomes)
    }

    /// Asks the provider, and waits only as long as its answer can still be stored and published.
    async fn fetch(&self, batch: &[Symbol]) -> Result<Answer, Problem> {
        let (provider, time) = (self.provider, self.state.asking_time);
        let last_answer = self.deadline.leaving(STORE_TIMEOUT + PUBLISH_TIMEOUT);

        let fetch = timeout(FETCH_TIMEOUT, provider.fetch(batch, self.now));
        let fetched = last_answer.wait(fetch).await;
        let answer = fetched.ok_or_else(|| Problem::out_of_time(provider.name(), time))?;
        Ok(answer.unwrap_or_else(|_| {
            Err(ProviderError::TimedOut {
                provider: provider.name().clone(),
            })
        })?)
    }

    /// Stores the raw response.
    async fn store(
        &self,
        symbols: &[Symbol],
        answer: &Answer,
        raw_response_id: Uuid,
    ) -> Result<(), Problem> {
        let Answer {
            received_at, body, ..
        } = answer;
        let provider = self.provider.name();
        let response = RawResponse {
            raw_response_id,
            provider,
            symbols,
            received_at: *received_at,
            body,
        };

        let storing = raw_responses::insert(&self.state.db, &response);
        self.deadline.within(STORE_TIMEOUT).postgres(storing).await
    }

    /// Appends the events to the log, and remembers whether it failed. Only acknowledged quotes are
    /// returned; the others become problems.
    async fn publish(&self, events: Vec<PriceEvent>) -> Vec<(Symbol, Outcome)> {
        let appending = self.state.log.append(&events);
        let results = self
            .deadline
            .within(PUBLISH_TIMEOUT)
            .wait(appending)
            .await
            .unwrap_or_default();

        let acknowledged = |index: usize| matches!(results.get(index), Some(Ok(())));
        let failed = (0..events.len()).any(|index| !acknowledged(index));
        self.state.observed.published(failed, Instant::now());
        if failed {
            let error = results
                .iter()
                .find_map(|result| result.as_ref().err())
                .map(ToString::to_string);
            tracing::warn!(error, "price events were not acknowledged");
        }

        let outcome = |(index, event): (usize, PriceEvent)| {
            let symbol = event.symbol.clone();
            let outcome = if acknowledged(index) {
                Ok(event.into())
            } else {
                Err(Problem::kafka_unavailable())
            };
            (symbol, outcome)
        };
        events.into_iter().enumerate().map(outcome).collect()
    }
}
