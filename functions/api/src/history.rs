//! `GET /prices/history`: the stored points of one series, newest first, as JSON or as a file.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::exact_decimal::ExactDecimal;
use shared::market::{Currency, ProviderName, Symbol, Timestamp};
use shared::price::Price;
use shared::repository::price_points::PricePoint;
use shared::repository::series::Series;
use utoipa::ToSchema;

use crate::cursor;
use crate::deadline::postgres;
use crate::paging::links;
use crate::problem::{
    AlwaysProblems, DatabaseProblems, FileProblems, NoSeries, Problem, QueryProblems,
};
use crate::schema::{ExactNumber, averaged_points};
use crate::state::AppState;

mod export;
mod form;
mod request;

use form::Form;
pub(crate) use form::PARQUET;
use request::{HistoryParameters, HistoryRequest};

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
///
/// As JSON, or as CSV, NDJSON or Parquet if `format` or `Accept` says so. A file has as many points
/// as an answer can carry, unless `limit` says fewer, and `Link` names the next one. It can be read
/// in ranges. Newer points do not change the bytes at a URL with `cursor`. Without one, they do not
/// while requests follow each other within 5 s, for up to a minute, and `Content-Location` is the
/// same file with a `cursor`. Late and corrected quotes do change them, and so the `ETag`.
#[utoipa::path(
    get,
    path = "/prices/history",
    operation_id = "getHistory",
    tag = "prices",
    params(HistoryParameters),
    responses(
        (
            status = OK,
            description = "A page of points",
            headers(
                ("Link" = String, description = "The next page, as `rel=\"next\"`"),
                ("Accept-Ranges" = String, description = "`bytes`, of a file"),
                ("Content-Location" = String, description = "The same file with a `cursor`")
            ),
            content(
                (History = "application/json"),
                (String = "text/csv"),
                (String = "application/x-ndjson"),
                (Vec<u8> = "application/vnd.apache.parquet")
            )
        ),
        (status = PARTIAL_CONTENT, description = "The bytes of a file that `Range` names"),
        QueryProblems, NoSeries, FileProblems, DatabaseProblems, AlwaysProblems
    )
)]
pub(crate) async fn history(
    State(state): State<Arc<AppState>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let request = HistoryRequest::read(&uri, &headers)?;
    let found = postgres(request.read_points(&state)).await?;

    let answer = match request.form {
        Form::Json => page(&uri, found.series, found.points, request.limit).into_response(),
        Form::File(format) => export::answer(&uri, &found, request.limit, format)?,
    };
    Ok(([(header::VARY, "accept")], answer).into_response())
}

/// A page as JSON.
fn page(
    uri: &Uri,
    series: Series,
    points: Vec<PricePoint>,
    limit: usize,
) -> (HeaderMap, Json<History>) {
    let (points, next_cursor) = cursor::page(points, limit, |last| {
        cursor::encode(last.timestamp.timestamp_micros(), &series.provider)
    });

    let links = links(uri, next_cursor.as_deref());
    let page = History {
        symbol: series.symbol,
        provider: series.provider,
        items: points.into_iter().map(HistoryPoint::from).collect(),
        next_cursor,
    };
    (links, Json(page))
}
