//! `GET /symbols`: every stored series with its newest point.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use shared::exact_decimal::ExactDecimal;
use shared::market::{Currency, ProviderName, Symbol, Timestamp};
use shared::price::Price;
use shared::repository::series::{self, Series, SeriesKey};
use utoipa::ToSchema;

use crate::cursor;
use crate::deadline::postgres;
use crate::paging::links;
use crate::problem::{AlwaysProblems, DatabaseProblems, Problem, QueryProblems};
use crate::query::{PageParameters, QueryParameters};
use crate::schema::{ExactNumber, averaged_points};
use crate::state::AppState;

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
}

impl From<Series> for SymbolItem {
    fn from(series: Series) -> Self {
        let Series {
            symbol,
            provider,
            timestamp,
            price,
            currency,
            moving_average,
            points,
            ..
        } = series;
        Self {
            symbol,
            provider,
            timestamp,
            price,
            currency,
            moving_average,
            points,
        }
    }
}

/// Every stored series
#[utoipa::path(
    get,
    path = "/symbols",
    operation_id = "listSymbols",
    tag = "prices",
    params(PageParameters),
    responses((status = OK, body = SymbolList, description = "A page of series", headers(("Link" = String, description = "The next page, as `rel=\"next\"`"))), QueryProblems, DatabaseProblems, AlwaysProblems)
)]
pub(crate) async fn symbols(
    State(state): State<Arc<AppState>>,
    uri: Uri,
) -> Result<(HeaderMap, Json<SymbolList>), Problem> {
    let mut query = QueryParameters::read::<PageParameters>(&uri);
    let limit = query.limit();
    let after = query.optional("cursor", position);
    query.finish(Some(()))?;

    let found = postgres(series::list(&state.db, after.as_ref(), cursor::rows(limit))).await?;
    let (found, next_cursor) = cursor::page(found, limit, |last| {
        cursor::encode(&last.symbol, &last.provider)
    });

    let links = links(&uri, next_cursor.as_deref());
    let page = SymbolList {
        items: found.into_iter().map(SymbolItem::from).collect(),
        next_cursor,
    };
    Ok((links, Json(page)))
}

fn position(text: &str) -> Result<SeriesKey, &'static str> {
    cursor::decode(text, |symbol, provider| {
        Some(SeriesKey {
            symbol: symbol.parse().ok()?,
            provider: provider.parse().ok()?,
        })
    })
}
