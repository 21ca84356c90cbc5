//! Reads quotes: a stored one if it is fresh enough; otherwise one from the provider, which is
//! published before it is returned. Walk 1 in the architecture describes it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::TimeDelta;
use serde::Serialize;
use shared::acquisition::Loss;
use shared::acquisition::fallback::{is_mendable, none_available};
use shared::market::{Currency, ProviderName, Symbol, Timestamp};
use shared::price::Price;
use shared::price_event::{CLOCK_TOLERANCE, PriceEvent};
use shared::provider::{Provider, ProviderError};
use shared::repository::series::{self, Series};
use utoipa::ToSchema;

use crate::deadline::Deadline;
use crate::problem::Problem;
use crate::schema::ExactNumber;
use crate::state::AppState;

mod asking;

use asking::{Asking, Missing};

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
    /// True if no provider was available, so that this is the last known price; otherwise absent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false, example = true)]
    stale: bool,
    /// Seconds since a stale quote was polled; absent if it is not stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, minimum = 0, example = 3600)]
    age: Option<u64>,
}

impl LatestQuote {
    /// The last known price, with its age at `now`.
    fn stale(series: Series, now: Timestamp) -> Self {
        let age = (now - series.polled_at).num_seconds();
        Self {
            stale: true,
            age: Some(u64::try_from(age).unwrap_or(0)),
            ..series.into()
        }
    }
}

impl From<Series> for LatestQuote {
    fn from(series: Series) -> Self {
        Self {
            symbol: series.symbol,
            price: series.price,
            currency: series.currency,
            timestamp: series.timestamp,
            provider: series.provider,
            polled_at: series.polled_at,
            stale: false,
            age: None,
        }
    }
}

impl From<PriceEvent> for LatestQuote {
    fn from(event: PriceEvent) -> Self {
        Self {
            symbol: event.symbol,
            price: event.price,
            currency: event.currency,
            timestamp: event.timestamp,
            provider: event.provider,
            polled_at: event.polled_at,
            stale: false,
            age: None,
        }
    }
}

/// The outcome for one symbol.
pub(crate) type Outcome = Result<LatestQuote, Problem>;

/// What a request for quotes asks for.
pub(crate) struct Wanted<'a> {
    /// The symbols, as they were given.
    pub(crate) symbols: &'a [Symbol],
    /// The providers that may answer, in the order in which they are asked.
    pub(crate) providers: &'a [Arc<dyn Provider>],
    /// How old a stored quote may be.
    pub(crate) max_age: TimeDelta,
    /// Whether the last known price answers if no provider is available.
    pub(crate) stale_ok: bool,
}

/// Returns the latest quote of each symbol, in the order of the request.
///
/// A quote of any of the providers that was polled within `max_age` comes from Postgres, under the
/// given spelling or, if there is none, in upper case. The others are requested from the first
/// provider, in upper case, in as few requests as it allows, and from each further one if it may
/// have what the one before had not. They are published, and returned once Kafka has acknowledged
/// them. All of it ends within [`AppState::asking_time`]; a symbol without a quote by then gets a
/// problem.
pub(crate) async fn read(
    state: &AppState,
    wanted: &Wanted<'_>,
    now: Timestamp,
) -> Result<Vec<Outcome>, Problem> {
    let deadline = Deadline::after(state.asking_time);

    let stored = stored(state, wanted, deadline).await?;
    let mut outcomes = fresh(&stored, wanted, now);

    let left = without_fresh_quote(wanted.symbols, &outcomes);
    let (asked, losses) = ask_in_turn(state, wanted, left, deadline, now).await;
    outcomes.extend(asked);

    // A symbol that a provider does not know, or has no price for, gets that problem: an old price
    // would hide it.
    let on_unknown_symbol = state.providers.falls_back_on_unknown_symbol();
    let no_quote = |symbol: &Symbol| {
        let Some(losses) = losses.get(symbol) else {
            return Err(absent(wanted.providers));
        };

        let may_be_stale = wanted.stale_ok && none_available(losses, on_unknown_symbol);
        let known = may_be_stale.then(|| last_known(&stored, symbol)).flatten();
        known.map_or_else(
            || Err(Problem::of_losses(losses, on_unknown_symbol)),
            |series| Ok(LatestQuote::stale(series.clone(), now)),
        )
    };
    let outcome = |symbol: &Symbol| {
        let upper = symbol.to_upper_case();
        let found = outcomes.get(symbol).or_else(|| outcomes.get(&upper));
        found.cloned().unwrap_or_else(|| no_quote(&upper))
    };

    Ok(wanted.symbols.iter().map(outcome).collect())
}

/// The stored series of the symbols at the providers, in either spelling, in the order of the
/// providers.
async fn stored(
    state: &AppState,
    wanted: &Wanted<'_>,
    deadline: Deadline,
) -> Result<Vec<Series>, Problem> {
    let as_given = wanted.symbols.iter().cloned();
    let spellings: Vec<Symbol> = as_given
        .chain(wanted.symbols.iter().map(Symbol::to_upper_case))
        .collect();
    let names: Vec<ProviderName> = wanted
        .providers
        .iter()
        .map(|provider| provider.name().clone())
        .collect();

    let mut stored = deadline
        .postgres(series::of_providers(&state.db, &spellings, &names))
        .await?;
    stored.sort_by_key(|series| names.iter().position(|name| *name == series.provider));
    Ok(stored)
}

/// The fresh quote of each symbol, of the first provider that has one.
fn fresh(stored: &[Series], wanted: &Wanted<'_>, now: Timestamp) -> HashMap<Symbol, Outcome> {
    let mut outcomes = HashMap::new();
    let fresh = stored
        .iter()
        .filter(|series| is_fresh(series.polled_at, wanted.max_age, now));

    for series in fresh {
        outcomes
            .entry(series.symbol.clone())
            .or_insert_with(|| Ok(series.clone().into()));
    }
    outcomes
}

/// The stored series of a symbol that was polled last, in upper case or in another spelling of it.
fn last_known<'a>(stored: &'a [Series], symbol: &Symbol) -> Option<&'a Series> {
    stored
        .iter()
        .filter(|series| series.symbol.to_upper_case() == *symbol)
        .max_by_key(|series| series.polled_at)
}

/// Asks one provider after the other. Returns the outcomes, and for each symbol without one why
/// each provider that was asked gave none.
async fn ask_in_turn(
    state: &AppState,
    wanted: &Wanted<'_>,
    mut left: Vec<Symbol>,
    deadline: Deadline,
    now: Timestamp,
) -> (HashMap<Symbol, Outcome>, HashMap<Symbol, Vec<Loss>>) {
    let on_unknown_symbol = state.providers.falls_back_on_unknown_symbol();
    let mut outcomes = HashMap::new();
    let mut losses: HashMap<Symbol, Vec<Loss>> = HashMap::new();

    let others = (0..wanted.providers.len()).rev();
    for (provider, others) in wanted.providers.iter().zip(others) {
        if left.is_empty() {
            break;
        }
        let times = (now, wanted.max_age, deadline);
        let others = u32::try_from(others).unwrap_or(u32::MAX - 1);
        let asking = Asking::new(state, provider, times, others);

        let asked = asking.ask_all(&left).await;
        left.clear();
        for (symbol, quote) in asked {
            match quote {
                Ok(event) => {
                    losses.remove(&symbol);
                    outcomes.insert(symbol, Ok(event.into()));
                }
                Err(Missing::Ended(problem)) => {
                    losses.remove(&symbol);
                    outcomes.insert(symbol, Err(problem));
                }
                Err(Missing::Lost(loss)) => {
                    if is_mendable(&loss, on_unknown_symbol) {
                        left.push(symbol.clone());
                    }
                    losses.entry(symbol).or_default().push(loss);
                }
            }
        }
    }

    (outcomes, losses)
}

/// The problem of a symbol that the answer of the last provider lacks.
fn absent(providers: &[Arc<dyn Provider>]) -> Problem {
    providers.last().map_or_else(Problem::internal, |provider| {
        ProviderError::Malformed {
            provider: provider.name().clone(),
            reason: "a symbol is missing from it".to_owned(),
        }
        .into()
    })
}

/// The symbols to request: those without a fresh quote in either spelling, in upper case, each
/// once.
fn without_fresh_quote(symbols: &[Symbol], fresh: &HashMap<Symbol, Outcome>) -> Vec<Symbol> {
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
