//! Reads quotes: a stored one if it is fresh enough; otherwise one from the provider, which is
//! published before it is returned. Walk 1 in the architecture describes it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use futures::stream::{self, StreamExt};
use serde::Serialize;
use shared::acquisition::{Course, Loss, Request, acquire};
use shared::market::{Currency, ProviderName, Symbol, Timestamp};
use shared::price::Price;
use shared::price_event::{CLOCK_TOLERANCE, PriceEvent};
use shared::price_log::PublishError;
use shared::provider::{Answer, Provider, ProviderError};
use shared::repository::raw_responses::{self, RawResponse};
use shared::repository::series::{self, Series};
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;

use crate::deadline::Deadline;
use crate::problem::Problem;
use crate::schema::ExactNumber;
use crate::state::AppState;

/// Most requests to a provider that one request of a client has open at a time.
const CONCURRENT_REQUESTS: usize = 4;
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
/// there is none, in upper case. The others are requested from the provider, in upper case, in as
/// few requests as it allows. They are published, and returned once Kafka has acknowledged them. All of it ends within
/// [`AppState::asking_time`]; a symbol without a quote by then gets a problem.
pub(crate) async fn read(
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
    let requests: Vec<Vec<Symbol>> = stale
        .chunks(provider.max_symbols().max(1))
        .map(<[Symbol]>::to_vec)
        .collect();
    let asking = Asking {
        state,
        provider,
        now,
        deadline,
    };

    // Unordered, so that a slow request does not delay the start of later ones. The order of
    // `symbols` is restored below.
    let asked = stream::iter(requests)
        .map(|symbols| asking.ask(symbols))
        .buffer_unordered(CONCURRENT_REQUESTS);
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

/// What all requests to the provider have in common that one request of a client leads to.
struct Asking<'a> {
    state: &'a AppState,
    provider: &'a Arc<dyn Provider>,
    now: Timestamp,
    /// The end of the request's time, storing and publishing included.
    deadline: Deadline,
}

impl Asking<'_> {
    /// Makes one request. A problem of the whole request becomes a problem of each of its symbols.
    async fn ask(&self, symbols: Vec<Symbol>) -> Vec<(Symbol, Outcome)> {
        let outcomes = self.acquire(&symbols).await;

        outcomes.unwrap_or_else(|problem| {
            symbols
                .into_iter()
                .map(|symbol| (symbol, Err(problem.clone())))
                .collect()
        })
    }

    /// Acquires the quotes of one request.
    async fn acquire(&self, symbols: &[Symbol]) -> Result<Vec<(Symbol, Outcome)>, Problem> {
        // Checked before the provider is asked: its quotes could not be published.
        if self.state.observed.log_is_unavailable(Instant::now()) {
            return Err(Problem::kafka_unavailable());
        }

        let acquired = acquire(self, self.provider.as_ref(), symbols, self.now).await??;
        let outcome = |(symbol, quote): (Symbol, Result<PriceEvent, Loss>)| {
            (symbol, quote.map(LatestQuote::from).map_err(Problem::from))
        };
        Ok(acquired.quotes.into_iter().map(outcome).collect())
    }
}

#[async_trait]
impl Course for Asking<'_> {
    type Error = Problem;

    /// Waits for the provider only as long as its answer can still be stored and published.
    async fn fetch(&self, request: Request<'_>) -> Result<Result<Answer, ProviderError>, Problem> {
        let (provider, time) = (self.provider.name(), self.state.asking_time);
        let last_answer = self.deadline.leaving(STORE_TIMEOUT + PUBLISH_TIMEOUT);

        let fetched = last_answer.wait(timeout(FETCH_TIMEOUT, request)).await;
        let answer = fetched.ok_or_else(|| Problem::out_of_time(provider, time))?;

        let timed_out = |_| {
            Err(ProviderError::TimedOut {
                provider: provider.clone(),
            })
        };
        Ok(answer.unwrap_or_else(timed_out))
    }

    async fn store(&self, response: &RawResponse<'_>) -> Result<(), Problem> {
        let storing = raw_responses::insert(&self.state.db, response);
        self.deadline.within(STORE_TIMEOUT).postgres(storing).await
    }

    /// Appends the events, and remembers whether the log failed.
    async fn append(&self, events: &[PriceEvent]) -> Option<Vec<Result<(), PublishError>>> {
        let appending = self.state.price_log.append(events);
        let results = self.deadline.within(PUBLISH_TIMEOUT).wait(appending).await;

        let failed = results
            .as_ref()
            .is_none_or(|results| results.iter().any(Result::is_err));
        self.state.observed.published(failed, Instant::now());
        if failed {
            let error = results
                .iter()
                .flatten()
                .find_map(|result| result.as_ref().err())
                .map(ToString::to_string);
            tracing::warn!(error, "price events were not acknowledged");
        }
        results
    }
}
