//! `GET /prices/average`: the moving average of a series at its newest point.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::Serialize;
use shared::exact_decimal::ExactDecimal;
use shared::market::{Currency, ProviderName, Symbol, Timestamp};
use shared::moving_average::WINDOW;
use shared::moving_average::window::{Kind, MAX_WINDOW, MIN_WINDOW, of_newest};
use shared::price::Price;
use shared::repository::price_points::{self, Range};
use shared::repository::series::Series;
use utoipa::ToSchema;

use crate::deadline::postgres;
use crate::problem::{AlwaysProblems, DatabaseProblems, NoSeries, Problem, QueryProblems};
use crate::query::{QueryParameters, whole_number};
use crate::schema::{
    ExactNumber, KindText, ProviderText, SymbolText, WholeNumberOr, points_of_window,
};
use crate::state::AppState;
use crate::stored::find_series;

/// `window` in the contract.
type Window = WholeNumberOr<WINDOW, MIN_WINDOW, MAX_WINDOW>;

/// The parameters of `GET /prices/average`.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "the contract's side of the parameters, which the handler reads"
)]
pub(crate) struct AverageParameters {
    /// The symbol of the series. If it is not stored in this spelling, it is looked up in upper
    /// case.
    #[param(inline, value_type = SymbolText)]
    symbol: String,
    /// The provider of the series. By default, the first of `DEFAULT_PROVIDER` that has a series of
    /// the symbol or, if none has, the provider whose series was polled last.
    #[param(inline, required = false, value_type = ProviderText)]
    provider: String,
    /// Points of a full window.
    #[param(inline, required = false, value_type = Window)]
    window: usize,
    /// `sma`: all points of the window weigh the same. `ema`: the newer ones weigh more.
    #[param(inline, required = false, value_type = KindText)]
    kind: String,
}

/// The moving average at the newest point of a series.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Average {
    /// The symbol that is priced.
    #[schema(value_type = String, example = "AAPL")]
    symbol: Symbol,
    /// The provider of the series.
    #[schema(value_type = String, example = "replay")]
    provider: ProviderName,
    /// Points of a full window.
    #[schema(example = 5)]
    window: usize,
    /// How the points are weighted.
    #[schema(value_type = KindText)]
    kind: &'static str,
    /// Number of points in this average. It is less than the window while the series is young, or
    /// after its unit changed. An `ema` is of up to ten windows.
    #[schema(schema_with = points_of_window)]
    points: usize,
    /// The average of the prices of these points.
    #[schema(value_type = ExactNumber)]
    moving_average: ExactDecimal,
    /// Unit of the prices and of the average, as the provider writes it; null if the provider does
    /// not name it.
    #[schema(value_type = Option<String>, required, example = "USD")]
    currency: Option<Currency>,
    /// Market time of the newest point.
    #[schema(value_type = String, format = DateTime, example = "2024-03-20T10:30:00Z")]
    timestamp: Timestamp,
}

/// The moving average of a series
///
/// `sma` is the mean of the newest `window` points. `ema` begins with the mean of `window` points;
/// each later price p moves it from e to e + (p − e) × 2 / (`window` + 1). It is taken over the
/// newest 10 × `window` points at most, so that it depends on nothing but these; all older ones
/// together would have a weight below 2 × 10⁻⁸.
///
/// Both are computed exactly and rounded once, half-even, to two decimal places more than the most
/// precise of the prices has, and to at least six. Trailing zeros are dropped. A mean of 1, 2, 4 or 5
/// points is exact.
///
/// If there are fewer points than the window, the average is the mean of all of them; `points` is
/// their number. An average never mixes units: when the unit changes, for example from pence to
/// pounds, the window starts again.
#[utoipa::path(
    get,
    path = "/prices/average",
    operation_id = "getAverage",
    tag = "prices",
    params(AverageParameters),
    responses((status = OK, body = Average, description = "The average and how many points it is of"), QueryProblems, NoSeries, DatabaseProblems, AlwaysProblems)
)]
pub(crate) async fn average(
    State(state): State<Arc<AppState>>,
    uri: Uri,
) -> Result<Json<Average>, Problem> {
    let mut query = QueryParameters::read::<AverageParameters>(&uri);
    let symbol = query.required("symbol", str::parse::<Symbol>);
    let provider = query.optional("provider", str::parse::<ProviderName>);
    let window = query.optional("window", |text| whole_number(text, MIN_WINDOW, MAX_WINDOW));
    let kind = query.optional("kind", str::parse::<Kind>);
    let symbol = query.finish(symbol)?;

    let (window, kind) = (window.unwrap_or(WINDOW), kind.unwrap_or_default());
    let read = async {
        let series = find_series(&state, &symbol, provider.as_ref()).await?;
        if (kind, window) == (Kind::Simple, WINDOW) {
            return Ok(stored(series));
        }
        computed(&state, series, kind, window).await
    };
    postgres(read).await.map(Json)
}

/// The average that is stored with the newest point.
fn stored(series: Series) -> Average {
    Average {
        symbol: series.symbol,
        provider: series.provider,
        window: WINDOW,
        kind: Kind::Simple.name(),
        points: series.points.into(),
        moving_average: series.moving_average,
        currency: series.currency,
        timestamp: series.timestamp,
    }
}

/// The average of the newest stored points, which may be newer than those of `series`.
async fn computed(
    state: &AppState,
    series: Series,
    kind: Kind,
    window: usize,
) -> Result<Average, Problem> {
    let most = i64::try_from(kind.most_points(window)).unwrap_or(i64::MAX);
    let points = price_points::history(&state.db, series.series_id, Range::default(), most).await?;

    // Retention has dropped the last point of the series, which upkeep then removes.
    let none_left = || Problem::no_series(format!("no price of {} is stored", series.symbol));
    let newest = points.first().ok_or_else(none_left)?;

    let of_its_unit = points
        .iter()
        .take_while(|point| point.currency == newest.currency);
    let prices: Vec<Price> = of_its_unit.map(|point| point.price).collect();
    let average = of_newest(kind, window, &prices).ok_or_else(none_left)?;

    Ok(Average {
        symbol: series.symbol,
        provider: series.provider,
        window,
        kind: kind.name(),
        points: average.points,
        moving_average: average.value,
        currency: newest.currency.clone(),
        timestamp: newest.timestamp,
    })
}
