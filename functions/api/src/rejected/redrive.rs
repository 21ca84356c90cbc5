//! Sends rejected events to the topic again: one, or all of a reason. Meant for the time after the
//! cause is fixed.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use chrono::Utc;
use serde::Serialize;
use shared::market::Timestamp;
use shared::price_event::{PriceEvent, RecordCoordinates};
use shared::price_log::Record;
use shared::redriving::value_to_send;
use shared::repository::rejected_events::quarantine::{self, MOST_TIMES, Quarantined};
use utoipa::ToSchema;

use super::{id, reason_text};
use crate::deadline::{Deadline, postgres};
use crate::problem::{
    AlwaysProblems, Problem, QueryProblems, RedriveProblems, RejectedNotFound, RejectedProblems,
};
use crate::query::{QueryParameters, truth, whole_number};
use crate::schema::{ReasonText, WholeNumberOr};
use crate::state::AppState;

/// Most events of one request: each may have a megabyte.
const MAX_EVENTS: usize = 100;
/// Longest that a request for many takes.
const TIME: Duration = Duration::from_secs(10);

/// `limit` in the contract.
type RedriveLimit = WholeNumberOr<MAX_EVENTS, 1, MAX_EVENTS>;

/// The parameters of `POST /rejected/{id}/redrive`.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "the contract's side of the parameters, which the handler reads"
)]
pub(crate) struct OneParameters {
    /// With `true`, nothing is sent: the answer says what would be.
    #[param(required = false, default = false)]
    dry_run: bool,
}

/// The parameters of `POST /rejected/redrive`.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "the contract's side of the parameters, which the handler reads"
)]
pub(crate) struct ManyParameters {
    /// Only events whose reason begins so.
    #[param(inline, required = false, value_type = ReasonText)]
    reason: String,
    /// With `true`, nothing is sent: the answer says what would be.
    #[param(required = false, default = false)]
    dry_run: bool,
    /// Most events that are sent.
    #[param(inline, required = false, value_type = RedriveLimit)]
    limit: usize,
}

/// An event that was sent again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RedrivenEvent {
    /// The event's id.
    #[schema(example = "MCA0MiAxNzEwOTMwNjA1MDAwMDAwIC4uLg")]
    id: String,
    /// Whether it was sent, and Kafka acknowledged it; false in a dry run.
    sent: bool,
    /// How often it was sent, now included.
    #[schema(example = 1)]
    redriven: i16,
    /// Why this version of the averager would refuse it once more; null if it would not, as far as
    /// the record alone tells.
    #[schema(required, example = json!(null))]
    verdict: Option<String>,
}

/// Events that were sent again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RedrivenEvents {
    /// How many were sent and acknowledged; in a dry run, how many would be sent.
    #[schema(example = 17)]
    sent: usize,
    /// How many of them this version of the averager would refuse once more.
    #[schema(example = 0)]
    refused_again: usize,
    /// Whether more are left, which the same request sends.
    more: bool,
}

/// Send a rejected event to the topic again
///
/// Its key is unchanged. An event without `id` or `polled_at` gets the values that it would have
/// had the first time, so that a newer answer stays the newer one. It stays in the list, and tells
/// that it was sent. If it is refused again, it comes back with another offset; a record of the
/// same content is sent three times at most.
#[utoipa::path(
    post,
    path = "/rejected/{id}/redrive",
    operation_id = "redriveRejected",
    tag = "operation",
    params(("id" = String, Path, description = "The event's id", example = "MCA0MiAxNzEwOTMwNjA1MDAwMDAwIC4uLg"), OneParameters),
    responses((status = OK, body = RedrivenEvent, description = "It was sent or, in a dry run, would be"), QueryProblems, RejectedNotFound, RejectedProblems, RedriveProblems, AlwaysProblems)
)]
pub(crate) async fn one(
    State(state): State<Arc<AppState>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<RedrivenEvent>, Problem> {
    let mut query = QueryParameters::read::<OneParameters>(&uri);
    let dry_run = query.optional("dry_run", truth).unwrap_or(false);
    query.finish(Some(()))?;

    let known = id::decode(&id).ok_or_else(|| Problem::no_rejected_event(&id))?;
    let event = postgres(quarantine::get(&state.db, &known)).await?;
    let event = event.ok_or_else(|| Problem::no_rejected_event(&id))?;

    if event.id.topic != state.price_log.topic() || event.value.is_none() {
        return Err(Problem::not_redrivable(&event));
    }
    if event.redriven >= MOST_TIMES {
        return Err(Problem::redriven_too_often());
    }

    let record = record_of(&event);
    let verdict = verdict(&event, &record);
    let redriven = if dry_run {
        event.redriven
    } else {
        send(&state, &[(event, record)]).await?
    };
    Ok(Json(RedrivenEvent {
        id,
        sent: !dry_run,
        redriven,
        verdict,
    }))
}

/// Send rejected events to the topic again
///
/// Those refused first come first. An event that was sent since it was refused is not sent again,
/// nor one whose content was sent three times. Repeat the request while `more` is true. If Kafka
/// does not acknowledge all of them, the answer is a 503, and those that it acknowledged are not
/// sent again.
#[utoipa::path(
    post,
    path = "/rejected/redrive",
    operation_id = "redriveAllRejected",
    tag = "operation",
    params(ManyParameters),
    responses((status = OK, body = RedrivenEvents, description = "How many were sent or, in a dry run, would be"), QueryProblems, RedriveProblems, AlwaysProblems)
)]
pub(crate) async fn many(
    State(state): State<Arc<AppState>>,
    uri: Uri,
) -> Result<Json<RedrivenEvents>, Problem> {
    let mut query = QueryParameters::read::<ManyParameters>(&uri);
    let reason = query.optional("reason", reason_text);
    let dry_run = query.optional("dry_run", truth).unwrap_or(false);
    let limit = query
        .optional("limit", |text| whole_number(text, 1, MAX_EVENTS))
        .unwrap_or(MAX_EVENTS);
    query.finish(Some(()))?;

    let topic = state.price_log.topic();
    let rows = crate::cursor::rows(limit);
    let found = quarantine::to_redrive(&state.db, topic, reason.as_deref(), rows);
    let mut found = Deadline::after(TIME).postgres(found).await?;

    let more = found.len() > limit;
    found.truncate(limit);

    let with_records = found.into_iter().map(|event| {
        let record = record_of(&event);
        (event, record)
    });
    let events: Vec<_> = with_records.collect();
    let refused_again = events
        .iter()
        .filter(|(event, record)| verdict(event, record).is_some())
        .count();

    if !dry_run && !events.is_empty() {
        send(&state, &events).await?;
    }
    Ok(Json(RedrivenEvents {
        sent: events.len(),
        refused_again,
        more,
    }))
}

/// Where the record was.
fn coordinates(event: &Quarantined) -> RecordCoordinates<'_> {
    RecordCoordinates {
        topic: &event.id.topic,
        partition: event.id.partition,
        offset: event.id.offset,
        // A record without a time has one before 1970 here.
        timestamp: Some(event.id.timestamp).filter(|time| *time >= Timestamp::UNIX_EPOCH),
    }
}

fn record_of(event: &Quarantined) -> Record {
    let value = event.value.as_deref().unwrap_or_default();
    Record {
        key: event.key.clone(),
        value: value_to_send(value, &coordinates(event)).into_owned(),
    }
}

/// Why the averager would refuse the record if it is sent now.
fn verdict(event: &Quarantined, record: &Record) -> Option<String> {
    let now = Utc::now();
    let sent = RecordCoordinates {
        timestamp: Some(now),
        ..coordinates(event)
    };
    let judged = PriceEvent::decode(Some(&record.value), &sent, now);
    judged.err().map(|rejection| rejection.to_string())
}

/// Sends the records, and notes those that are acknowledged. Returns how often the last one was
/// sent.
async fn send(state: &AppState, events: &[(Quarantined, Record)]) -> Result<i16, Problem> {
    let records: Vec<Record> = events.iter().map(|(_, record)| record.clone()).collect();
    let results = state.price_log.append_records(&records).await;

    let (mut times, mut failure) = (0, None);
    for ((event, record), result) in events.iter().zip(results) {
        match result {
            Ok(()) => {
                let noted = quarantine::note_redriven(&state.db, event, &record.value);
                times = postgres(noted).await?;
            }
            Err(error) => failure = Some(error),
        }
    }

    match failure {
        None => Ok(times),
        Some(error) => {
            tracing::warn!(%error, "a rejected event was not acknowledged");
            Err(Problem::kafka_unavailable())
        }
    }
}
