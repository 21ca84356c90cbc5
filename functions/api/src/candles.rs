//! `GET /prices/candles`: open, high, low and close of the stored points of one series, newest
//! first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use chrono::Utc;
use serde::Serialize;
use shared::candle::{Candle, Grid, Interval, Zone};
use shared::market::{Currency, ProviderName, Symbol, Timestamp};
use shared::price::Price;
use shared::repository::candles;
use shared::repository::price_points::Range;
use shared::repository::series::Series;
use utoipa::ToSchema;

use crate::cursor;
use crate::deadline::postgres;
use crate::paging::links;
use crate::problem::{AlwaysProblems, DatabaseProblems, NoSeries, Problem, QueryProblems};
use crate::query::{PageLimit, QueryParameters};
use crate::schema::{ExactNumber, IntervalText, ProviderText, SymbolText, ZoneText};
use crate::state::AppState;
use crate::stored::find_series;

/// The parameters of `GET /prices/candles`.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "the contract's side of the parameters, which `CandlesRequest::read` reads"
)]
pub(crate) struct CandlesParameters {
    /// The symbol of the series. If it is not stored in this spelling, it is looked up in upper
    /// case.
    #[param(inline, value_type = SymbolText)]
    symbol: String,
    /// The provider of the series. By default, the first of `DEFAULT_PROVIDER` that has a series of
    /// the symbol or, if none has, the provider whose series was polled last.
    #[param(inline, required = false, value_type = ProviderText)]
    provider: String,
    /// The period of one candle: a minute, five, fifteen, an hour or a calendar day.
    #[param(inline, value_type = IntervalText)]
    interval: String,
    /// Only candles that begin at this time or later: RFC 3339 with its zone.
    #[param(required = false, format = DateTime, example = "2024-03-20T10:00:00Z")]
    from: String,
    /// Only candles that begin before this time: RFC 3339 with its zone.
    #[param(required = false, format = DateTime, example = "2024-03-20T11:00:00Z")]
    to: String,
    /// The time zone whose calendar days are meant, by its name in the IANA database. Shorter
    /// periods are the same in every zone: they are whole ones of UTC.
    #[param(inline, required = false, value_type = ZoneText)]
    tz: String,
    /// Most periods with candles in one answer.
    #[param(inline, required = false, value_type = PageLimit)]
    limit: usize,
    /// `next_cursor` of the previous page; the next page is of the same provider.
    #[param(required = false)]
    cursor: String,
}

/// Candles of one series, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Candles {
    /// The symbol that is priced.
    #[schema(value_type = String, example = "AAPL")]
    symbol: Symbol,
    /// The provider of the series.
    #[schema(value_type = String, example = "replay")]
    provider: ProviderName,
    /// The period of one candle.
    #[schema(value_type = IntervalText)]
    interval: &'static str,
    /// The time zone whose calendar days are meant.
    #[schema(example = "UTC")]
    tz: &'static str,
    /// The candles of this page. Periods without a price have none.
    items: Vec<CandleItem>,
    /// The `cursor` of the next page; null on the last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// The prices of one period.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CandleItem {
    /// When the period begins.
    #[schema(value_type = String, format = DateTime, example = "2024-03-20T10:00:00Z")]
    timestamp: Timestamp,
    /// When it ends: the first moment after it. A day has 23 or 25 hours where clocks change.
    #[schema(value_type = String, format = DateTime, example = "2024-03-20T11:00:00Z")]
    end: Timestamp,
    /// The first price by market time, in units of `currency`.
    #[schema(value_type = ExactNumber)]
    open: Price,
    /// The greatest price.
    #[schema(value_type = ExactNumber)]
    high: Price,
    /// The least price.
    #[schema(value_type = ExactNumber)]
    low: Price,
    /// The last price by market time.
    #[schema(value_type = ExactNumber)]
    close: Price,
    /// Unit of the prices as the provider writes it; null if the provider does not name it. A
    /// period in which it changes has one candle for each unit.
    #[schema(value_type = Option<String>, required, example = "USD")]
    currency: Option<Currency>,
    /// Number of stored points in the period.
    #[schema(minimum = 1, example = 360)]
    points: u64,
    /// False as long as the period has not ended.
    #[schema(example = true)]
    complete: bool,
}

impl CandleItem {
    fn new(candle: Candle, now: Timestamp) -> Self {
        Self {
            timestamp: candle.period.start,
            end: candle.period.end,
            open: candle.open,
            high: candle.high,
            low: candle.low,
            close: candle.close,
            currency: candle.currency,
            points: candle.points,
            complete: candle.period.end <= now,
        }
    }
}

/// The candles of a series, newest first
///
/// A candle is always that of the points which are stored now: late and corrected quotes change it,
/// also when it is complete. Periods without a price are left out. Where retention has dropped
/// points, their candles are gone with them.
#[utoipa::path(
    get,
    path = "/prices/candles",
    operation_id = "getCandles",
    tag = "prices",
    params(CandlesParameters),
    responses((status = OK, body = Candles, description = "A page of candles", headers(("Link" = String, description = "The next page, as `rel=\"next\"`"))), QueryProblems, NoSeries, DatabaseProblems, AlwaysProblems)
)]
pub(crate) async fn candles(
    State(state): State<Arc<AppState>>,
    uri: Uri,
) -> Result<(HeaderMap, Json<Candles>), Problem> {
    let request = CandlesRequest::read(&uri)?;
    let (series, found) = postgres(request.read_candles(&state)).await?;

    let (candles, next_cursor) = page(found, request.limit, |last| {
        cursor::encode(last.period.start.timestamp_micros(), &series.provider)
    });
    let now = Utc::now();
    let items = candles
        .into_iter()
        .map(|candle| CandleItem::new(candle, now));

    let links = links(&uri, next_cursor.as_deref());
    let page = Candles {
        symbol: series.symbol,
        provider: series.provider,
        interval: request.grid.interval.name(),
        tz: request.grid.zone.name(),
        items: items.collect(),
        next_cursor,
    };
    Ok((links, Json(page)))
}

/// The candles of the first `limit` periods, and the cursor of the next page if there are others.
fn page(
    mut candles: Vec<Candle>,
    limit: usize,
    cursor: impl FnOnce(&Candle) -> String,
) -> (Vec<Candle>, Option<String>) {
    let periods = candles.chunk_by(|a, b| a.period == b.period);
    let kept: usize = periods.take(limit).map(<[Candle]>::len).sum();
    let more = kept < candles.len();
    candles.truncate(kept);

    let next_cursor = if more {
        candles.last().map(cursor)
    } else {
        None
    };
    (candles, next_cursor)
}

/// The candles that a client wants.
struct CandlesRequest {
    symbol: Symbol,
    /// The provider that the client or its cursor names.
    provider: Option<ProviderName>,
    grid: Grid,
    range: Range,
    limit: usize,
}

impl CandlesRequest {
    fn read(uri: &Uri) -> Result<Self, Problem> {
        let mut query = QueryParameters::read::<CandlesParameters>(uri);
        let symbol = query.required("symbol", str::parse::<Symbol>);
        let mut provider = query.optional("provider", str::parse::<ProviderName>);
        let interval = query.required("interval", str::parse::<Interval>);
        let mut range = query.range();
        let zone = query.optional("tz", str::parse::<Zone>);
        let limit = query.limit();

        if let Some((before, of)) = query.optional("cursor", cursor::before) {
            if provider.as_ref().is_some_and(|provider| *provider != of) {
                query.fault("cursor", format_args!("is of another provider: {of}"));
            }
            range.to = Some(range.to.map_or(before, |to| to.min(before)));
            provider = Some(of);
        }

        let (symbol, interval) = query.finish(symbol.zip(interval))?;
        let zone = zone.unwrap_or(Zone::UTC);
        Ok(Self {
            symbol,
            provider,
            grid: Grid { interval, zone },
            range,
            limit,
        })
    }

    /// Reads the series and its candles, and those of one period beyond the limit.
    async fn read_candles(&self, state: &AppState) -> Result<(Series, Vec<Candle>), Problem> {
        let series = find_series(state, &self.symbol, self.provider.as_ref()).await?;

        let mut connection = state
            .db
            .acquire()
            .await
            .map_err(shared::repository::Error::from)?;
        let candles = candles::newest(
            &mut connection,
            series.series_id,
            self.grid,
            self.range,
            self.limit + 1,
        );
        Ok((series, candles.await?))
    }
}
