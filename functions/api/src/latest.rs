//! `GET /prices/latest`: the newest quote of one symbol, or of many.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use chrono::{TimeDelta, Utc};
use serde::Serialize;
use shared::market::{ProviderList, Symbol};
use shared::provider::Provider;
use utoipa::ToSchema;

use crate::names;
use crate::problem::{AlwaysProblems, Fault, Problem, ProviderProblems, QueryProblems};
use crate::query::{QueryParameters, truth, whole_number};
use crate::quotes::{self, LatestQuote, Outcome};
use crate::schema::{ProviderListText, SymbolText, SymbolTexts, WholeNumberOr};
use crate::state::AppState;

/// Most symbols in one request.
const MAX_SYMBOLS: usize = 100;
/// `max_age` in seconds if the request gives none.
const DEFAULT_MAX_AGE: u32 = 5;
/// Greatest `max_age`, in seconds.
const MAX_MAX_AGE: u32 = 86_400;

/// `max_age` in the contract.
type MaxAge = WholeNumberOr<{ DEFAULT_MAX_AGE as usize }, 0, { MAX_MAX_AGE as usize }>;
/// `symbols` in the contract.
type SymbolsParameter = SymbolTexts<MAX_SYMBOLS>;

/// The parameters of `GET /prices/latest`: either `symbol` or `symbols` is required.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "the contract's side of the parameters, which `LatestRequest::read` reads"
)]
pub(crate) struct LatestParameters {
    /// One symbol. If it is not stored in this spelling, it is looked up in upper case. A provider
    /// is asked for the upper-case symbol, or for its own spelling of it. The answer is one quote.
    #[param(inline, required = false, value_type = SymbolText)]
    symbol: String,
    /// Different symbols, separated by commas. The answer is a list in the same order.
    #[param(inline, required = false, style = Form, explode = false, value_type = SymbolsParameter)]
    symbols: String,
    /// Up to five different providers, separated by commas. Each further one is asked for what the
    /// one before could not give. By default, those of `DEFAULT_PROVIDER`.
    #[param(inline, required = false, value_type = ProviderListText)]
    provider: String,
    /// A stored quote of any of the providers that was polled within this many seconds is returned;
    /// with 0 a provider is always asked.
    #[param(inline, required = false, value_type = MaxAge)]
    max_age: u32,
    /// With `true`, the last known price is returned if no provider is available, with its age.
    #[param(required = false, default = false)]
    stale_ok: bool,
}

/// A quote, or a list if `symbols` was given.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum LatestAnswer {
    /// The answer to `symbol`.
    One(LatestQuote),
    /// The answer to `symbols`.
    Many(LatestQuotes),
}

/// Quotes in the order of the requested symbols.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LatestQuotes {
    items: Vec<LatestItem>,
}

/// A quote, or the reason why there is none.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum LatestItem {
    /// The symbol has a quote.
    Quote(LatestQuote),
    /// The symbol has no quote.
    Trouble(LatestTrouble),
}

/// A symbol without a quote.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LatestTrouble {
    /// The requested symbol.
    #[schema(value_type = String, example = "NOPE")]
    symbol: Symbol,
    /// Why it has no quote.
    problem: Problem,
}

/// The newest quote of a symbol
///
/// A quote that was polled within `max_age` comes from the store. Otherwise the first provider is
/// asked, and each further one of the list if those before it are limited, unavailable or not
/// usable. A quote that another request fetches at the same time is shared. A quote is returned
/// once Kafka has acknowledged it, and becomes a point with its average. `provider` says who gave
/// it.
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
    let request = LatestRequest::read(&state, &uri)?;

    let outcomes = quotes::read(
        &state,
        &quotes::Wanted {
            symbols: request.wanted.symbols(),
            providers: &request.providers,
            max_age: TimeDelta::seconds(i64::from(request.max_age)),
            stale_ok: request.stale_ok,
        },
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

struct LatestRequest {
    wanted: Wanted,
    providers: Vec<Arc<dyn Provider>>,
    max_age: u32,
    stale_ok: bool,
}

impl LatestRequest {
    fn read(state: &AppState, uri: &Uri) -> Result<Self, Problem> {
        let mut query = QueryParameters::read::<LatestParameters>(uri);
        let wanted = wanted(&mut query);
        let max_age = query
            .optional("max_age", |text| whole_number(text, 0, MAX_MAX_AGE))
            .unwrap_or(DEFAULT_MAX_AGE);
        let stale_ok = query.optional("stale_ok", truth).unwrap_or(false);
        let list = query.optional("provider", str::parse::<ProviderList>);
        let given = list.clone();
        let list = state.provider_list(list);

        match list {
            Ok(list) => {
                let wanted = query.finish(wanted)?;
                // A list that the request gives may not name a provider that lacks its key; the
                // default list may, and that provider is skipped.
                if let Some(given) = &given {
                    state.ready(given)?;
                }

                Ok(Self {
                    wanted,
                    providers: state.ready_providers(&list)?,
                    max_age,
                    stale_ok,
                })
            }
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

/// Reads `symbol` or `symbols`; exactly one of them must be given.
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
