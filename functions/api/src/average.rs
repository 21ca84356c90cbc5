//! `GET /prices/average`: the moving average of a series at its newest point.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::Serialize;
use shared::exact_decimal::ExactDecimal;
use shared::market::{Currency, ProviderName, Symbol, Timestamp};
use shared::moving_average::WINDOW;
use utoipa::ToSchema;

use crate::deadline::postgres;
use crate::problem::{AlwaysProblems, DatabaseProblems, NoSeries, Problem, QueryProblems};
use crate::query::QueryParameters;
use crate::schema::{ExactNumber, ProviderText, SymbolText, WholeNumberOr, averaged_points};
use crate::state::AppState;
use crate::stored::find_series;

/// `window` in the contract.
type Window = WholeNumberOr<WINDOW, WINDOW, WINDOW>;

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
    /// Points of a full window. No other value is supported yet.
    #[param(inline, required = false, value_type = Window)]
    window: usize,
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
    /// Number of points in this average. It is less than the window while the series is young, or
    /// after its unit changed.
    #[schema(schema_with = averaged_points)]
    points: u8,
    /// The mean of the prices of these points.
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
/// If there are fewer points than the window, the average covers all of them; `points` is their
/// number. An average never mixes units: when the unit changes, for example from pence to pounds,
/// the window starts again.
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
    query.optional("window", window);
    let symbol = query.finish(symbol)?;

    let series = postgres(find_series(&state, &symbol, provider.as_ref())).await?;

    Ok(Json(Average {
        symbol: series.symbol,
        provider: series.provider,
        window: WINDOW,
        points: series.points,
        moving_average: series.moving_average,
        currency: series.currency,
        timestamp: series.timestamp,
    }))
}

fn window(text: &str) -> Result<(), String> {
    if text == WINDOW.to_string() {
        Ok(())
    } else {
        Err(format!("must be {WINDOW}; other windows come later"))
    }
}
