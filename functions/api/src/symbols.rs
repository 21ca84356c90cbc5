//! `GET /symbols`: every stored series with its newest point, and how many points it has since when.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use shared::exact_decimal::ExactDecimal;
use shared::market::{Currency, ProviderName, Symbol, Timestamp};
use shared::price::Price;
use shared::repository::series::{self, ListedSeries, Selection, Series, SeriesKey};
use utoipa::ToSchema;

use crate::cursor;
use crate::deadline::postgres;
use crate::paging::links;
use crate::problem::{AlwaysProblems, DatabaseProblems, Problem, QueryProblems, UnknownProvider};
use crate::query::{DEFAULT_LIMIT, QueryParameters, whole_number};
use crate::schema::{ExactNumber, ProviderText, SymbolText, WholeNumberOr, averaged_points};
use crate::state::AppState;
use crate::stored;

/// Most series in one answer.
const MAX_SERIES: usize = 5_000;

/// `limit` in the contract.
type SymbolLimit = WholeNumberOr<DEFAULT_LIMIT, 1, MAX_SERIES>;

/// The parameters of `GET /symbols`.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "the contract's side of the parameters, which the handler reads"
)]
pub(crate) struct SymbolParameters {
    /// Only symbols that begin so, in this spelling or in upper case.
    #[param(inline, required = false, value_type = SymbolText)]
    prefix: String,
    /// Only series of this provider.
    #[param(inline, required = false, value_type = ProviderText)]
    provider: String,
    /// Most series in one answer.
    #[param(inline, required = false, value_type = SymbolLimit)]
    limit: usize,
    /// `next_cursor` of the previous page.
    #[param(required = false)]
    cursor: String,
}

/// Stored series, ordered by symbol and provider.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SymbolList {
    /// The series of this page.
    items: Vec<SymbolItem>,
    /// The `cursor` of the next page; null on the last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A series with its newest point.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SymbolItem {
    /// The symbol that is priced.
    #[schema(value_type = String, example = "AAPL")]
    symbol: Symbol,
    /// The provider of the series.
    #[schema(value_type = String, example = "replay")]
    provider: ProviderName,
    /// Market time of the newest point.
    #[schema(value_type = String, format = DateTime, example = "2024-03-20T10:30:00Z")]
    timestamp: Timestamp,
    /// The price of the newest point, in units of `currency`.
    #[schema(value_type = ExactNumber)]
    price: Price,
    /// Unit of the price as the provider writes it, such as `USD`, or `GBp` for pence; null if the
    /// provider does not name it.
    #[schema(value_type = Option<String>, required, example = "USD")]
    currency: Option<Currency>,
    /// The mean of this point and of up to four points before it that have the same unit without a
    /// break.
    #[schema(value_type = ExactNumber)]
    moving_average: ExactDecimal,
    /// Number of points in the average.
    #[schema(schema_with = averaged_points)]
    points: u8,
    /// Number of stored points; null until they are counted: after an upgrade, or after retention
    /// dropped some, for minutes.
    #[schema(required, example = 8_640)]
    point_count: Option<u64>,
    /// Market time of the oldest stored point; null as long as `point_count` is.
    #[schema(value_type = Option<String>, format = DateTime, required, example = "2024-03-19T10:30:00Z")]
    first_timestamp: Option<Timestamp>,
}

impl From<ListedSeries> for SymbolItem {
    fn from(listed: ListedSeries) -> Self {
        let counted = listed.counted;
        let Series {
            symbol,
            provider,
            timestamp,
            price,
            currency,
            moving_average,
            points,
            ..
        } = listed.series;
        Self {
            symbol,
            provider,
            timestamp,
            price,
            currency,
            moving_average,
            points,
            point_count: counted.map(|counted| counted.points),
            first_timestamp: counted.map(|counted| counted.first),
        }
    }
}

/// Every stored series
#[utoipa::path(
    get,
    path = "/symbols",
    operation_id = "listSymbols",
    tag = "prices",
    params(SymbolParameters),
    responses((status = OK, body = SymbolList, description = "A page of series", headers(("Link" = String, description = "The next page, as `rel=\"next\"`"))), QueryProblems, UnknownProvider, DatabaseProblems, AlwaysProblems)
)]
pub(crate) async fn symbols(
    State(state): State<Arc<AppState>>,
    uri: Uri,
) -> Result<(HeaderMap, Json<SymbolList>), Problem> {
    let mut query = QueryParameters::read::<SymbolParameters>(&uri);
    let selection = Selection {
        prefix: query.optional("prefix", str::parse),
        provider: query.optional("provider", str::parse),
    };
    let limit = query
        .optional("limit", |text| whole_number(text, 1, MAX_SERIES))
        .unwrap_or(DEFAULT_LIMIT);
    let after = query.optional("cursor", position);
    query.finish(Some(()))?;

    let found = postgres(find(
        &state,
        &selection,
        after.as_ref(),
        cursor::rows(limit),
    ))
    .await?;
    let (found, next_cursor) = cursor::page(found, limit, |last| {
        cursor::encode(&last.series.symbol, &last.series.provider)
    });

    let links = links(&uri, next_cursor.as_deref());
    let page = SymbolList {
        items: found.into_iter().map(SymbolItem::from).collect(),
        next_cursor,
    };
    Ok((links, Json(page)))
}

/// Reads the series. A provider that is neither one of ours nor stored is unknown.
async fn find(
    state: &AppState,
    selection: &Selection,
    after: Option<&SeriesKey>,
    rows: i64,
) -> Result<Vec<ListedSeries>, Problem> {
    let found = series::list(&state.db, selection, after, rows).await?;

    if found.is_empty()
        && let Some(provider) = &selection.provider
    {
        stored::check_provider(state, provider).await?;
    }
    Ok(found)
}

fn position(text: &str) -> Result<SeriesKey, &'static str> {
    cursor::decode(text, |symbol, provider| {
        Some(SeriesKey {
            symbol: symbol.parse().ok()?,
            provider: provider.parse().ok()?,
        })
    })
}
