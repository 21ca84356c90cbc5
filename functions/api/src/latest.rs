//! `GET /prices/latest`: the newest quote of one symbol, or of many.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use chrono::{TimeDelta, Utc};
use serde::Serialize;
use shared::market::{ProviderName, Symbol};
use shared::provider::Provider;
use utoipa::ToSchema;

use crate::names;
use crate::problem::{AlwaysProblems, Fault, Problem, ProviderProblems, QueryProblems};
use crate::query::{QueryParameters, whole_number};
use crate::quotes::{self, LatestQuote, Outcome};
use crate::state::AppState;

/// Most symbols of one request.
const MAX_SYMBOLS: usize = 100;
/// Seconds within which a stored quote is fresh enough, where the request does not say.
const DEFAULT_MAX_AGE: u32 = 5;
/// Most seconds that a request may say.
const MAX_MAX_AGE: u32 = 86_400;

/// What `GET /prices/latest` takes: either `symbol` or `symbols`.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "the contract's side of the parameters, which `Request::read` reads"
)]
pub(crate) struct LatestParameters {
    /// One symbol, as its provider spells it. What is not stored in this spelling is looked up, and asked for, in upper
    /// case. The answer is its quote.
    #[param(
        required = false,
        min_length = 1,
        max_length = 32,
        pattern = "^[!-~]+$",
        example = "AAPL"
    )]
    symbol: String,
    /// Up to 100 different symbols with commas between them. The answer is a list in their order.
    #[param(required = false, example = "AAPL,MSFT")]
    symbols: String,
    /// Who is asked; the default provider where it is absent.
    #[param(
        required = false,
        min_length = 1,
        max_length = 32,
        pattern = "^[!-~]+$",
        example = "replay"
    )]
    provider: String,
    /// Seconds since a stored quote was polled within which it is fresh enough; with 0 the provider is always asked.
    #[param(required = false, minimum = 0, maximum = 86_400, default = 5)]
    max_age: u32,
}

/// A quote, or a list where `symbols` was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum LatestAnswer {
    /// To `symbol`.
    One(LatestQuote),
    /// To `symbols`.
    Many(LatestQuotes),
}

/// Quotes in the order asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LatestQuotes {
    items: Vec<LatestItem>,
}

/// A quote, or why there is none.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum LatestItem {
    /// The symbol has a quote.
    Quote(LatestQuote),
    /// It has none.
    Trouble(LatestTrouble),
}

/// A symbol without a quote.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LatestTrouble {
    /// What was asked for.
    #[schema(value_type = String, example = "NOPE")]
    symbol: Symbol,
    /// Why it has no quote.
    problem: Problem,
}

/// The newest quote of a symbol
///
/// A quote that was polled within `max_age` comes from the store. Else the provider is asked; its quote is answered
/// once Kafka has acknowledged it, and becomes a point with its average.
#[utoipa::path(
    get,
    path = "/prices/latest",
    operation_id = "getLatest",
    tag = "prices",
    params(LatestParameters),
    responses((status = OK, body = LatestAnswer, description = "A quote, or a list to `symbols`"), QueryProblems, ProviderProblems, AlwaysProblems)
)]
pub(crate) async fn latest(
    State(state): State<Arc<AppState>>,
    uri: Uri,
) -> Result<Json<LatestAnswer>, Problem> {
    let request = Request::read(&state, &uri)?;
    let max_age = TimeDelta::seconds(i64::from(request.max_age));
    let outcomes = quotes::latest(
        &state,
        &request.provider,
        request.wanted.symbols(),
        max_age,
        Utc::now(),
    )
    .await?;
    match request.wanted {
        Wanted::One(_) => {
            let outcome = outcomes
                .into_iter()
                .next()
                .unwrap_or_else(|| Err(Problem::internal()));
            Ok(Json(LatestAnswer::One(outcome?)))
        }
        Wanted::Many(symbols) => {
            let items = symbols.into_iter().zip(outcomes).map(item).collect();
            Ok(Json(LatestAnswer::Many(LatestQuotes { items })))
        }
    }
}

fn item((symbol, outcome): (Symbol, Outcome)) -> LatestItem {
    match outcome {
        Ok(quote) => LatestItem::Quote(quote),
        Err(problem) => LatestItem::Trouble(LatestTrouble { symbol, problem }),
    }
}

enum Wanted {
    One([Symbol; 1]),
    Many(Vec<Symbol>),
}

impl Wanted {
    fn symbols(&self) -> &[Symbol] {
        match self {
            Self::One(symbol) => symbol,
            Self::Many(symbols) => symbols,
        }
    }
}

struct Request {
    wanted: Wanted,
    provider: Arc<dyn Provider>,
    max_age: u32,
}

impl Request {
    fn read(state: &AppState, uri: &Uri) -> Result<Self, Problem> {
        let mut query = QueryParameters::read::<LatestParameters>(uri);
        let wanted = wanted(&mut query);
        let max_age = query
            .optional("max_age", |text| whole_number(text, 0, MAX_MAX_AGE))
            .unwrap_or(DEFAULT_MAX_AGE);
        let name = query.optional("provider", str::parse::<ProviderName>);
        let provider = state.provider(name.as_ref());
        match provider {
            Ok(provider) => Ok(Self {
                wanted: query.finish(wanted)?,
                provider,
                max_age,
            }),
            Err(message) if query.faults.is_empty() => Err(Problem::unknown_provider(Fault {
                location: "query.provider".to_owned(),
                message,
            })),
            Err(message) => {
                query.fault("provider", message);
                Err(Problem::invalid(query.faults))
            }
        }
    }
}

fn wanted(query: &mut QueryParameters) -> Option<Wanted> {
    match (
        query.text("symbol"),
        query.text("symbols").map(str::to_owned),
    ) {
        (Some(_), Some(_)) => {
            query.fault("symbols", "cannot be given together with symbol");
            None
        }
        (None, Some(list)) => {
            let texts: Vec<_> = list.split(',').map(Some).collect();
            let as_given = |symbol| symbol;
            let symbols = names::distinct_symbols(
                &texts,
                as_given,
                "query.symbols",
                MAX_SYMBOLS,
                &mut query.faults,
            );
            Some(Wanted::Many(symbols))
        }
        (_, None) => query
            .required("symbol", str::parse)
            .map(|symbol| Wanted::One([symbol])),
    }
}
