//! `POST /verify`: computes stored averages again, and reports what differs.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::Serialize;
use shared::market::{ProviderName, Symbol, Timestamp};
use shared::repository::verification::{self, Difference, Position, Scope, What};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::cursor;
use crate::problem::{AlwaysProblems, DatabaseProblems, Problem, QueryProblems, UnknownProvider};
use crate::query::QueryParameters;
use crate::schema::{ProviderText, SymbolText};
use crate::state::AppState;
use crate::stored;

/// Longest that a request verifies: it is answered before the function's timeout of 29 s.
const TIME: Duration = Duration::from_secs(18);
/// The word of a cursor for a series that is not begun.
const BEGINNING: &str = "-";

/// The parameters of `POST /verify`.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "the contract's side of the parameters, which the handler reads"
)]
pub(crate) struct VerifyParameters {
    /// Only the series of this symbol, as it is spelled in the store.
    #[param(inline, required = false, value_type = SymbolText)]
    symbol: String,
    /// Only the series of this provider.
    #[param(inline, required = false, value_type = ProviderText)]
    provider: String,
    /// `next_cursor` of the previous answer, with the same symbol and provider.
    #[param(required = false)]
    cursor: String,
}

/// What was verified.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VerifyAnswer {
    /// Series that were finished in this request.
    #[schema(example = 12)]
    series: u64,
    /// Points whose averages were computed again.
    #[schema(example = 103_680)]
    points: u64,
    /// Points at the edge of what retention dropped, whose averages cannot be computed again.
    #[schema(example = 0)]
    unprovable: u64,
    /// Every value that differs.
    differences: Vec<DifferenceItem>,
    /// The `cursor` of the next request; null if all is verified.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A stored value that differs from the one that follows from the points.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DifferenceItem {
    /// The symbol that is priced.
    #[schema(value_type = String, example = "AAPL")]
    symbol: Symbol,
    /// The provider of the series.
    #[schema(value_type = String, example = "replay")]
    provider: ProviderName,
    /// Market time of the point.
    #[schema(value_type = String, format = DateTime, example = "2024-03-20T10:30:00Z")]
    timestamp: Timestamp,
    /// Which value differs.
    value: DifferentValue,
    /// The stored value.
    #[schema(example = "150.26")]
    stored: String,
    /// The value that follows from the points.
    #[schema(example = "150.25")]
    expected: String,
}

/// A value that is verified.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(example = "moving_average")]
pub(crate) enum DifferentValue {
    /// The point's average.
    MovingAverage,
    /// The number of points in the average.
    Points,
    /// The newest point as the series' row has it, which `GET /prices/latest` and `GET /symbols`
    /// read.
    NewestPoint,
}

impl From<Difference> for DifferenceItem {
    fn from(difference: Difference) -> Self {
        Self {
            symbol: difference.symbol,
            provider: difference.provider,
            timestamp: difference.timestamp,
            value: match difference.what {
                What::MovingAverage => DifferentValue::MovingAverage,
                What::Points => DifferentValue::Points,
                What::Newest => DifferentValue::NewestPoint,
            },
            stored: difference.stored,
            expected: difference.expected,
        }
    }
}

/// Prove the stored averages
///
/// Computes every average again from the stored prices, series by series, and reports each value
/// that differs. It changes nothing. A request verifies for up to 18 s, or until there are some
/// thousand differences: continue with `next_cursor`. A price that was changed in the database
/// shows as up to five averages that differ, the first of which is its own. Where retention dropped
/// points, the averages of up to four points include prices that are not stored any more; they are
/// counted as `unprovable`.
#[utoipa::path(
    post,
    path = "/verify",
    operation_id = "verify",
    tag = "operation",
    params(VerifyParameters),
    responses((status = OK, body = VerifyAnswer, description = "What was verified, and what differs"), QueryProblems, UnknownProvider, DatabaseProblems, AlwaysProblems)
)]
pub(crate) async fn verify(
    State(state): State<Arc<AppState>>,
    uri: Uri,
) -> Result<Json<VerifyAnswer>, Problem> {
    let mut query = QueryParameters::read::<VerifyParameters>(&uri);
    let scope = Scope {
        symbol: query.optional("symbol", str::parse),
        provider: query.optional("provider", str::parse),
    };
    let from = query.optional("cursor", position);
    query.finish(Some(()))?;

    if let Some(provider) = &scope.provider {
        stored::check_provider(&state, provider).await?;
    }
    let deadline = Instant::now() + TIME;
    let verified = verification::verify(&state.db, &scope, from, deadline).await?;

    Ok(Json(VerifyAnswer {
        series: verified.series,
        points: verified.points,
        unprovable: verified.unprovable,
        differences: verified
            .differences
            .into_iter()
            .map(DifferenceItem::from)
            .collect(),
        next_cursor: verified.next.map(encode),
    }))
}

fn encode(position: Position) -> String {
    let until = position.until.map_or_else(
        || BEGINNING.to_owned(),
        |until| until.timestamp_micros().to_string(),
    );
    cursor::encode(position.series_id, until)
}

fn position(text: &str) -> Result<Position, &'static str> {
    cursor::decode(text, |series_id, until| {
        Some(Position {
            series_id: series_id.parse().ok()?,
            until: match until {
                BEGINNING => None,
                until => Some(cursor::time(until)?),
            },
        })
    })
}
