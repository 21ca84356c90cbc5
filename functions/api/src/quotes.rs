//! Walk 1: a price is read from Postgres where it is fresh enough, else asked for, published and then answered.

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

use crate::contract::ExactNumber;
use crate::problem::Problem;
use crate::state::{AppState, postgres};

/// Requests to a provider that one request of ours may have open at a time.
const CONCURRENT_BATCHES: usize = 4;
/// Longest wait for a provider; its own limit is shorter.
const FETCH_TIMEOUT: Duration = Duration::from_secs(11);
/// Longest wait for acknowledgements; the log's own limit is shorter.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(4);

/// A quote: a provider's price of a symbol at a time of the market.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct LatestQuote {
    /// What is priced.
    #[schema(value_type = String, example = "AAPL")]
    pub(crate) symbol: Symbol,
    /// The price.
    #[schema(value_type = ExactNumber)]
    price: Price,
    /// Unit of the price as the provider writes it, such as `USD`, and `GBp` for pence; null where it does not tell.
    #[schema(value_type = Option<String>, required, example = "USD")]
    currency: Option<Currency>,
    /// Market time of the quote.
    #[schema(value_type = String, format = DateTime, example = "2024-03-20T10:30:00Z")]
    timestamp: Timestamp,
    /// Who quoted it.
    #[schema(value_type = String, example = "yahoo")]
    provider: ProviderName,
    /// When the provider answered.
    #[schema(value_type = String, format = DateTime, example = "2024-03-20T10:30:02.114Z")]
    polled_at: Timestamp,
}

impl From<Series> for LatestQuote {
    fn from(series: Series) -> Self {
        let Series { symbol, price, currency, timestamp, provider, polled_at, .. } = series;
        Self { symbol, price, currency, timestamp, provider, polled_at }
    }
}

impl From<PriceEvent> for LatestQuote {
    fn from(event: PriceEvent) -> Self {
        let PriceEvent { symbol, price, currency, timestamp, provider, polled_at, .. } = event;
        Self { symbol, price, currency, timestamp, provider, polled_at }
    }
}

/// The outcome for one symbol.
pub(crate) type Outcome = Result<LatestQuote, Problem>;

/// The latest quote of each symbol, in their order. Those polled within `max_age` come from Postgres, in the spelling given
/// or else in upper case; the others are asked for in batches, in upper case, published, and answered once Kafka has
/// acknowledged them.
pub(crate) async fn latest(
    state: &AppState,
    provider: &Arc<dyn Provider>,
    symbols: &[Symbol],
    max_age: TimeDelta,
    now: Timestamp,
) -> Result<Vec<Outcome>, Problem> {
    let spellings: Vec<Symbol> =
        symbols.iter().cloned().chain(symbols.iter().map(Symbol::to_upper_case)).collect();
    let stored = postgres(series::of_provider(&state.db, &spellings, provider.name())).await?;
    let mut outcomes: HashMap<Symbol, Outcome> = stored
        .into_iter()
        .filter(|series| is_fresh(series.polled_at, max_age, now))
        .map(|series| (series.symbol.clone(), Ok(series.into())))
        .collect();
    let stale: Vec<Symbol> = stale(symbols, &outcomes);
    let batches: Vec<Vec<Symbol>> =
        stale.chunks(provider.max_symbols().max(1)).map(<[Symbol]>::to_vec).collect();
    let asked =
        stream::iter(batches).map(|batch| ask(state, provider, batch, now)).buffered(CONCURRENT_BATCHES);
    outcomes.extend(asked.collect::<Vec<_>>().await.into_iter().flatten());
    let absent = || {
        Err(ProviderError::Malformed {
            provider: provider.name().clone(),
            reason: "a symbol is missing from it".to_owned(),
        }
        .into())
    };
    let outcome = |symbol: &Symbol| outcomes.get(symbol).or_else(|| outcomes.get(&symbol.to_upper_case()));
    Ok(symbols.iter().map(|symbol| outcome(symbol).cloned().unwrap_or_else(absent)).collect())
}

/// The symbols to ask for: those with a fresh quote in neither spelling, upper-cased, each once.
fn stale(symbols: &[Symbol], fresh: &HashMap<Symbol, Outcome>) -> Vec<Symbol> {
    let mut seen = HashSet::new();
    symbols
        .iter()
        .filter(|symbol| !fresh.contains_key(symbol))
        .map(Symbol::to_upper_case)
        .filter(|symbol| !fresh.contains_key(symbol) && seen.insert(symbol.clone()))
        .collect()
}

/// Whether what was polled then is fresh enough. What comes from a clock far ahead of ours is not: it would be fresh until
/// its time has come.
fn is_fresh(polled_at: Timestamp, max_age: TimeDelta, now: Timestamp) -> bool {
    let age = now - polled_at;
    max_age > TimeDelta::zero() && age <= max_age && age >= -CLOCK_TOLERANCE
}

/// Asks for one batch; what befalls the whole batch befalls each of its symbols.
async fn ask(
    state: &AppState,
    provider: &Arc<dyn Provider>,
    batch: Vec<Symbol>,
    now: Timestamp,
) -> Vec<(Symbol, Outcome)> {
    let outcomes = fetch_and_publish(state, provider, &batch, now).await;
    outcomes
        .unwrap_or_else(|problem| batch.into_iter().map(|symbol| (symbol, Err(problem.clone()))).collect())
}

async fn fetch_and_publish(
    state: &AppState,
    provider: &Arc<dyn Provider>,
    batch: &[Symbol],
    now: Timestamp,
) -> Result<Vec<(Symbol, Outcome)>, Problem> {
    if state.observed.log_is_away(Instant::now()) {
        return Err(Problem::kafka_away());
    }
    let answer = timeout(FETCH_TIMEOUT, provider.fetch(batch, now))
        .await
        .unwrap_or_else(|_| Err(ProviderError::TimedOut { provider: provider.name().clone() }))?;
    let raw_response_id = Uuid::now_v7();
    let mut outcomes = Vec::with_capacity(batch.len());
    let mut events = Vec::with_capacity(batch.len());
    for (symbol, quote) in &answer.quotes {
        match quote {
            Ok(quote) => {
                let name = provider.name().clone();
                events.push(PriceEvent::of_quote(quote.clone(), name, answer.received_at, raw_response_id));
            }
            Err(error) => outcomes.push((symbol.clone(), Err(error.clone().into()))),
        }
    }
    if !events.is_empty() {
        store(state, provider.name(), batch, &answer, raw_response_id).await?;
        outcomes.extend(publish(state, events).await);
    }
    Ok(outcomes)
}

async fn store(
    state: &AppState,
    provider: &ProviderName,
    symbols: &[Symbol],
    answer: &Answer,
    raw_response_id: Uuid,
) -> Result<(), Problem> {
    let Answer { received_at, body, .. } = answer;
    let response = RawResponse { raw_response_id, provider, symbols, received_at: *received_at, body };
    postgres(raw_responses::insert(&state.db, &response)).await
}

/// Appends the events to the log; only what it acknowledged is answered.
async fn publish(state: &AppState, events: Vec<PriceEvent>) -> Vec<(Symbol, Outcome)> {
    let results = timeout(PUBLISH_TIMEOUT, state.log.append(&events)).await.unwrap_or_default();
    let acknowledged = |index: usize| matches!(results.get(index), Some(Ok(())));
    let failed = (0..events.len()).any(|index| !acknowledged(index));
    state.observed.published(failed, Instant::now());
    if failed {
        let error = results.iter().find_map(|result| result.as_ref().err()).map(ToString::to_string);
        tracing::warn!(error, "price events were not acknowledged");
    }
    let outcome = |(index, event): (usize, PriceEvent)| {
        let symbol = event.symbol.clone();
        let outcome = if acknowledged(index) { Ok(event.into()) } else { Err(Problem::kafka_away()) };
        (symbol, outcome)
    };
    events.into_iter().enumerate().map(outcome).collect()
}
