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
use crate::schema::ExactNumber;
use crate::state::AppState;
use crate::stored::find_series;

/// What `GET /prices/average` takes.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "the contract's side of the parameters, which the handler reads"
)]
pub(crate) struct AverageParameters {
    /// The symbol, as its provider spells it. What is not stored in this spelling is looked up in upper case.
    #[param(
        min_length = 1,
        max_length = 32,
        pattern = "^[!-~]+$",
        example = "AAPL"
    )]
    symbol: String,
    /// Whose series; where it is absent, the default provider's or, if it has none, the one polled last.
    #[param(
        required = false,
        min_length = 1,
        max_length = 32,
        pattern = "^[!-~]+$",
        example = "replay"
    )]
    provider: String,
    /// Points of a full window; other windows come later.
    #[param(required = false, minimum = 5, maximum = 5, default = 5)]
    window: usize,
}

/// The moving average at the newest point of a series.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Average {
    /// What is priced.
    #[schema(value_type = String, example = "AAPL")]
    symbol: Symbol,
    /// Whose series it is.
    #[schema(value_type = String, example = "replay")]
    provider: ProviderName,
    /// Points of a full window.
    #[schema(example = 5)]
    window: usize,
    /// Points that this average is of: fewer than the window while the series is young, or its unit has just changed.
    #[schema(minimum = 1, maximum = 5, example = 5)]
    points: u8,
    /// The mean of these points' prices.
    #[schema(value_type = ExactNumber)]
    moving_average: ExactDecimal,
    /// Unit of the prices and so of the average, as the provider writes it; null where it does not tell.
    #[schema(value_type = Option<String>, required, example = "USD")]
    currency: Option<Currency>,
    /// Market time of the newest point.
    #[schema(value_type = String, format = DateTime, example = "2024-03-20T10:30:00Z")]
    timestamp: Timestamp,
}

/// The moving average of a series
///
/// With fewer points than the window the average is of those there are, as `points` says. It never mixes units: where
/// the unit changes, as from pence to pounds, the window begins anew.
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
