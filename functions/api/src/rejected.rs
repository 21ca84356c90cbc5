//! `GET /rejected`: the records of the topic that became no points, and why.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use shared::market::Timestamp;
use shared::repository::rejected_events::quarantine::{self, After, Quarantined};
use utoipa::ToSchema;

use crate::cursor;
use crate::deadline::postgres;
use crate::paging::links;
use crate::problem::{AlwaysProblems, DatabaseProblems, Problem, QueryProblems};
use crate::query::{QueryParameters, whole_number};
use crate::schema::{ReasonText, WholeNumberOr};
use crate::state::AppState;

mod id;
pub(crate) mod redrive;

/// Most events of a page if the request gives no `limit`.
const DEFAULT_EVENTS: usize = 100;
/// Greatest `limit`: more of the longest events would not fit into an answer.
const MAX_EVENTS: usize = 400;
/// Longest reason in a request, in bytes.
pub(crate) const MAX_REASON: usize = 500;

/// `limit` in the contract.
type EventLimit = WholeNumberOr<DEFAULT_EVENTS, 1, MAX_EVENTS>;

/// The parameters of `GET /rejected`.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "the contract's side of the parameters, which the handler reads"
)]
pub(crate) struct RejectedParameters {
    /// Only events whose reason begins so.
    #[param(inline, required = false, value_type = ReasonText)]
    reason: String,
    /// Most events in one answer.
    #[param(inline, required = false, value_type = EventLimit)]
    limit: usize,
    /// `next_cursor` of the previous page.
    #[param(required = false)]
    cursor: String,
}

/// Rejected events, those refused last first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RejectedList {
    /// The events of this page.
    items: Vec<RejectedItem>,
    /// The `cursor` of the next page; null on the last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A record of the topic that became no point.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RejectedItem {
    /// The event's id, for `POST /rejected/{id}/redrive`.
    #[schema(example = "MCA0MiAxNzEwOTMwNjA1MDAwMDAwIC4uLg")]
    id: String,
    /// Topic of the record.
    #[schema(example = "price-events")]
    topic: String,
    /// Partition of the topic.
    #[schema(example = 0)]
    partition: i32,
    /// Offset in the partition.
    #[schema(example = 42)]
    offset: i64,
    /// Kafka's time of the record.
    #[schema(value_type = String, format = DateTime, example = "2024-03-20T10:30:05Z")]
    timestamp: Timestamp,
    /// The record's key as text, at most 200 bytes of it; null if it has none. Bytes that are not
    /// UTF-8 are replaced by U+FFFD.
    #[schema(required, example = "AAPL")]
    key: Option<String>,
    /// The record's value as text, at most 1,000 bytes of it; null if it has none. Bytes that are
    /// not UTF-8 are replaced by U+FFFD.
    #[schema(required, example = "{\"symbol\":\"AAPL\",\"price\":0}")]
    value: Option<String>,
    /// The number of bytes of the whole value; null if it has none.
    #[schema(required, example = 27)]
    value_bytes: Option<i32>,
    /// Why the averager refused it.
    #[schema(example = "price must be greater than zero")]
    reason: String,
    /// When it was first refused.
    #[schema(value_type = String, format = DateTime, example = "2024-03-20T10:30:05.201Z")]
    rejected_at: Timestamp,
    /// How often a record of this content was sent to the topic again: at most three times.
    #[schema(example = 0)]
    redriven: i16,
    /// When it was last sent again; null if it was not. If that is after `rejected_at`, it was not
    /// refused since.
    #[schema(value_type = Option<String>, format = DateTime, required, example = "2024-03-20T11:00:00Z")]
    redriven_at: Option<Timestamp>,
}

impl From<Quarantined> for RejectedItem {
    fn from(event: Quarantined) -> Self {
        let text = |bytes: Vec<u8>| shown(&bytes, usize::MAX);
        Self {
            id: id::encode(&event.id),
            topic: event.id.topic,
            partition: event.id.partition,
            offset: event.id.offset,
            timestamp: event.id.timestamp,
            key: event.key.map(text),
            value: event.value.map(text),
            value_bytes: event.value_bytes,
            reason: event.reason,
            rejected_at: event.rejected_at,
            redriven: event.redriven,
            redriven_at: event.redriven_at,
        }
    }
}

/// The records that became no points, and why
///
/// The averager moves a record that can never become a point to quarantine, with the reason.
/// Retention deletes it after some weeks.
#[utoipa::path(
    get,
    path = "/rejected",
    operation_id = "listRejected",
    tag = "operation",
    params(RejectedParameters),
    responses((status = OK, body = RejectedList, description = "A page of rejected events", headers(("Link" = String, description = "The next page, as `rel=\"next\"`"))), QueryProblems, DatabaseProblems, AlwaysProblems)
)]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    uri: Uri,
) -> Result<(HeaderMap, Json<RejectedList>), Problem> {
    let mut query = QueryParameters::read::<RejectedParameters>(&uri);
    let reason = query.optional("reason", reason_text);
    let limit = query
        .optional("limit", |text| whole_number(text, 1, MAX_EVENTS))
        .unwrap_or(DEFAULT_EVENTS);
    let after = query.optional("cursor", position);
    query.finish(Some(()))?;

    let rows = cursor::rows(limit);
    let found = postgres(quarantine::list(
        &state.db,
        reason.as_deref(),
        after.as_ref(),
        rows,
    ))
    .await?;
    let (found, next_cursor) = cursor::page(found, limit, |last| {
        cursor::encode(last.rejected_at.timestamp_micros(), id::encode(&last.id))
    });

    let links = links(&uri, next_cursor.as_deref());
    let page = RejectedList {
        items: found.into_iter().map(RejectedItem::from).collect(),
        next_cursor,
    };
    Ok((links, Json(page)))
}

/// The beginning of a key or value as text, of at most so many bytes.
pub(crate) fn shown(bytes: &[u8], most: usize) -> String {
    let bytes = bytes.get(..most).unwrap_or(bytes);
    String::from_utf8_lossy(bytes).into_owned()
}

/// Reads the beginning of a reason.
pub(crate) fn reason_text(text: &str) -> Result<String, String> {
    let printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    let readable = !text.trim().is_empty() && text.bytes().all(printable);
    if readable && text.len() <= MAX_REASON {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "must be the beginning of a reason: 1 to {MAX_REASON} characters of printable ASCII"
        ))
    }
}

fn position(text: &str) -> Result<After, &'static str> {
    cursor::decode(text, |rejected_at, id| {
        Some(After {
            rejected_at: cursor::time(rejected_at)?,
            id: id::decode(id)?,
        })
    })
}
