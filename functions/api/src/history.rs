//! `GET /prices/history`: the stored points of one series, newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::Serialize;
use shared::exact_decimal::ExactDecimal;
use shared::market::{Currency, ProviderName, Symbol, Timestamp};
use shared::price::Price;
use shared::repository::price_points::{self, PricePoint, Range};
use utoipa::ToSchema;

use crate::cursor;
use crate::deadline::postgres;
use crate::problem::{AlwaysProblems, DatabaseProblems, NoSeries, Problem, QueryProblems};
use crate::query::{PageLimit, QueryParameters, time};
use crate::schema::{ExactNumber, ProviderText, SymbolText, averaged_points};
use crate::state::AppState;
use crate::stored::find_series;

/// The parameters of `GET /prices/history`.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "the contract's side of the parameters, which `HistoryRequest::read` reads"
)]
pub(crate) struct HistoryParameters {
    /// The symbol of the series. If it is not stored in this spelling, it is looked up in upper
    /// case.
    #[param(inline, value_type = SymbolText)]
    symbol: String,
    /// The provider of the series. By default, the first of `DEFAULT_PROVIDER` that has a series of
    /// the symbol or, if none has, the provider whose series was polled last.
    #[param(inline, required = false, value_type = ProviderText)]
    provider: String,
    /// Earliest market time, included: RFC 3339 with its zone.
    #[param(required = false, format = DateTime, example = "2024-03-20T10:00:00Z")]
    from: String,
    /// Latest market time, excluded: RFC 3339 with its zone.
    #[param(required = false, format = DateTime, example = "2024-03-20T11:00:00Z")]
    to: String,
    /// Most points in one answer.
    #[param(inline, required = false, value_type = PageLimit)]
    limit: usize,
    /// `next_cursor` of the previous page; the next page is of the same provider.
    #[param(required = false)]
    cursor: String,
}

/// Points of one series, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct History {
    /// The symbol that is priced.
    #[schema(value_type = String, example = "AAPL")]
    symbol: Symbol,
    /// The provider of the series.
    #[schema(value_type = String, example = "replay")]
    provider: ProviderName,
    /// The points of this page.
    items: Vec<HistoryPoint>,
    /// The `cursor` of the next page; null on the last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A stored quote with its average.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryPoint {
    /// Market time of the quote.
    #[schema(value_type = String, format = DateTime, example = "2024-03-20T10:30:00Z")]
    timestamp: Timestamp,
    /// The price, in units of `currency`.
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
    /// When the provider last gave this quote.
    #[schema(value_type = String, format = DateTime, example = "2024-03-20T10:30:02.114Z")]
    polled_at: Timestamp,
}

impl From<PricePoint> for HistoryPoint {
    fn from(point: PricePoint) -> Self {
        let PricePoint {
            timestamp,
            price,
            currency,
            moving_average,
            points,
            polled_at,
        } = point;
        Self {
            timestamp,
            price,
            currency,
            moving_average,
            points,
            polled_at,
        }
    }
}

/// The stored points of a series, newest first
#[utoipa::path(
    get,
    path = "/prices/history",
    operation_id = "getHistory",
    tag = "prices",
    params(HistoryParameters),
    responses((status = OK, body = History, description = "A page of points"), QueryProblems, NoSeries, DatabaseProblems, AlwaysProblems)
)]
pub(crate) async fn history(
    State(state): State<Arc<AppState>>,
    uri: Uri,
) -> Result<Json<History>, Problem> {
    let HistoryRequest {
        symbol,
        provider,
        range,
        limit,
    } = HistoryRequest::read(&uri)?;

    let (series, points) = postgres(async {
        let series = find_series(&state, &symbol, provider.as_ref()).await?;
        let points =
            price_points::history(&state.db, series.series_id, range, cursor::rows(limit)).await?;
        Ok::<_, Problem>((series, points))
    })
    .await?;

    let (points, next_cursor) = cursor::page(points, limit, |last| {
        cursor::encode(last.timestamp.timestamp_micros(), &series.provider)
    });
    let items = points.into_iter().map(HistoryPoint::from).collect();

    Ok(Json(History {
        symbol: series.symbol,
        provider: series.provider,
        items,
        next_cursor,
    }))
}

struct HistoryRequest {
    symbol: Symbol,
    provider: Option<ProviderName>,
    range: Range,
    limit: usize,
}

impl HistoryRequest {
    fn read(uri: &Uri) -> Result<Self, Problem> {
        let mut query = QueryParameters::read::<HistoryParameters>(uri);
        let symbol = query.required("symbol", str::parse::<Symbol>);
        let mut provider = query.optional("provider", str::parse::<ProviderName>);

        let mut range = Range {
            from: query.optional("from", time),
            to: query.optional("to", time),
        };
        // Compared before the cursor moves `to`: only bounds that the client gave can be at fault.
        if let (Some(from), Some(to)) = (range.from, range.to)
            && from >= to
        {
            query.fault("to", "must be later than from");
        }

        let limit = query.limit();
        if let Some((before, of)) = query.optional("cursor", position) {
            if provider.as_ref().is_some_and(|provider| *provider != of) {
                query.fault("cursor", format_args!("is of another provider: {of}"));
            }
            range.to = Some(range.to.map_or(before, |to| to.min(before)));
            provider = Some(of);
        }

        Ok(Self {
            symbol: query.finish(symbol)?,
            provider,
            range,
            limit,
        })
    }
}

/// Reads a cursor: a page starts before the last point of the previous page, in the series of the
/// same provider.
fn position(text: &str) -> Result<(Timestamp, ProviderName), &'static str> {
    cursor::decode(text, |before, provider| {
        Some((cursor::time(before)?, provider.parse().ok()?))
    })
}
