//! `GET /prices/changes`: what changed in some series since a cursor, waiting for it if nothing
//! has.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use serde::Serialize;
use shared::exact_decimal::ExactDecimal;
use shared::market::{Currency, ProviderName, Symbol, Timestamp};
use shared::price::Price;
use shared::repository::changes::{self, Change, Changes, Kind, Start};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::deadline::postgres;
use crate::paging::links_by;
use crate::problem::{
    AlwaysProblems, ChangesGone, DatabaseProblems, Problem, QueryProblems, UnknownProvider,
};
use crate::representation::KEEP_NOTHING;
use crate::schema::{ExactNumber, averaged_points};
use crate::state::AppState;
use crate::stored;

mod cursor;
mod request;
mod waiting;

pub(crate) use cursor::MAX_LENGTH as MAX_CURSOR_LENGTH;
use request::{ChangesParameters, ChangesRequest};
pub(crate) use waiting::Fences;

/// Points that changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangeList {
    /// The points, each as it is stored now.
    items: Vec<ChangedPoint>,
    /// The `after` of the next request. It is never null: there may be changes later.
    #[schema(example = "kfZ0uwEBB34X8QcBCqyAqZ-K2ooGAgA")]
    next_cursor: String,
    /// Whether more changes are stored already, so that the next request need not wait.
    more: bool,
}

/// A stored quote with its average. Symbol, provider and `timestamp` identify it: a client that
/// keeps the points inserts it, or replaces the one that it has.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangedPoint {
    /// The symbol that is priced.
    #[schema(value_type = String, example = "AAPL")]
    symbol: Symbol,
    /// The provider of the series.
    #[schema(value_type = String, example = "replay")]
    provider: ProviderName,
    /// `new` if it comes after every point of its series that the client has had. `late` if it
    /// comes at or before one of them: it arrived late, was polled again or revised, or its average
    /// changed with such a point.
    change: ChangeKind,
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

/// Whether a point is new to the client.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(example = "new")]
pub(crate) enum ChangeKind {
    /// It comes after every point of its series that the client has had.
    New,
    /// It comes at or before one of them.
    Late,
}

impl From<Change> for ChangedPoint {
    fn from(change: Change) -> Self {
        let point = change.point;
        Self {
            symbol: change.symbol,
            provider: change.provider,
            change: match change.kind {
                Kind::New => ChangeKind::New,
                Kind::Late => ChangeKind::Late,
            },
            timestamp: point.timestamp,
            price: point.price,
            currency: point.currency,
            moving_average: point.moving_average,
            points: point.points,
            polled_at: point.polled_at,
        }
    }
}

/// The points that changed since a cursor
///
/// Follow the answers from the first one on, each with the `next_cursor` of the one before, and you
/// have what `GET /prices/history` shows: new points, late ones, revised ones, and the up to four
/// later points whose averages changed with them. Points are in the order in which they were
/// committed, those of one series at a time; a point that changed several times comes once, as it
/// is now. Nothing is left out and nothing comes twice, also across restarts of any part. If no
/// answer arrives, send the same request again. Points that retention drops are no changes.
///
/// If there is nothing, the answer waits for up to `wait` seconds, and is then empty. A symbol that
/// is not stored yet is waited for as well. Changes are known for seven days. After that, or if the
/// database was restored to an earlier state, the answer is a 410: discard what you have of these
/// symbols, and begin again without `after`.
///
/// To show the present and follow it, ask with `after=now` first, then for the history, and then
/// for the changes after that cursor.
#[utoipa::path(
    get,
    path = "/prices/changes",
    operation_id = "getChanges",
    tag = "prices",
    params(ChangesParameters),
    responses(
        (
            status = OK,
            body = ChangeList,
            description = "Changed points, or none after waiting",
            headers(("Link" = String, description = "The next request, as `rel=\"next\"`"))
        ),
        QueryProblems, UnknownProvider, ChangesGone, DatabaseProblems, AlwaysProblems
    )
)]
pub(crate) async fn changes(
    State(state): State<Arc<AppState>>,
    uri: Uri,
) -> Result<(HeaderMap, Json<ChangeList>), Problem> {
    let request = ChangesRequest::read(&uri)?;
    let deadline = Instant::now() + Duration::from_secs(request.wait);

    let mut found = postgres(read(&state, &request)).await?;
    while is_waiting(&request, &found, deadline) {
        let fences = &state.observed.fences;
        if fences.changed(&state.db, &found.counts, deadline).await? {
            found = postgres(read(&state, &request)).await?;
        }
    }

    let next_cursor = cursor::encode(&found.position);
    let mut headers = links_by(&uri, "after", Some(&next_cursor));
    headers.insert(header::CACHE_CONTROL, KEEP_NOTHING);
    let list = ChangeList {
        items: found.items.into_iter().map(ChangedPoint::from).collect(),
        next_cursor,
        more: found.more,
    };
    Ok((headers, Json(list)))
}

/// Whether the request continues to wait. A client that asks for its first position gets it at once.
fn is_waiting(request: &ChangesRequest, found: &Changes, deadline: Instant) -> bool {
    let is_empty = found.items.is_empty() && !found.more;
    is_empty && request.start != Start::Now && Instant::now() < deadline
}

/// Reads the changes. The connection goes back to the pool, where a wait closes it.
async fn read(state: &AppState, request: &ChangesRequest) -> Result<Changes, Problem> {
    let acquired = state.db.acquire().await;
    let mut connection = acquired.map_err(shared::repository::Error::from)?;

    let ChangesRequest {
        followed,
        start,
        limit,
        ..
    } = request;
    let found = changes::read(&mut connection, followed, start, *limit).await?;
    drop(connection);

    if found.series == 0
        && let Some(provider) = &followed.provider
    {
        stored::check_provider(state, provider).await?;
    }
    Ok(found)
}
