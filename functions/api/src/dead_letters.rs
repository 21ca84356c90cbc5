//! `GET /dead-letters`, and sending them back to the topic: what the command `redrive` does, for
//! those who reach only the API.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::Serialize;
use shared::dead_letters::letter::Letter;
use shared::dead_letters::port::{Redriven, Seen, Selection};
use shared::dead_letters::{Action, Outcome};
use utoipa::ToSchema;

use crate::problem::{AlwaysProblems, KafkaProblems, Problem, QueryProblems};
use crate::query::{QueryParameters, truth, whole_number};
use crate::rejected::{reason_text, shown};
use crate::schema::{ReasonText, WholeNumberOr};
use crate::state::AppState;

/// Most letters of one request: each may have a megabyte.
const MAX_LETTERS: usize = 100;
/// Characters of a key and of a value that are shown.
const SHOWN_KEY: usize = 200;
const SHOWN_VALUE: usize = 1_000;

/// `limit` in the contract.
type LetterLimit = WholeNumberOr<MAX_LETTERS, 1, MAX_LETTERS>;

/// The parameters of `GET /dead-letters`.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "the contract's side of the parameters, which the handler reads"
)]
pub(crate) struct LetterParameters {
    /// Only letters with this condition or function error, such as `RetriesExhausted`.
    #[param(inline, required = false, value_type = ReasonText)]
    reason: String,
    /// Most letters in one answer.
    #[param(inline, required = false, value_type = LetterLimit)]
    limit: usize,
}

/// The parameters of `POST /dead-letters/redrive`.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "the contract's side of the parameters, which the handler reads"
)]
pub(crate) struct RedriveLetterParameters {
    /// Only letters with this condition or function error, such as `RetriesExhausted`.
    #[param(inline, required = false, value_type = ReasonText)]
    reason: String,
    /// With `true`, nothing is sent: the answer says what would be.
    #[param(required = false, default = false)]
    dry_run: bool,
    /// Most letters that are sent.
    #[param(inline, required = false, value_type = LetterLimit)]
    limit: usize,
}

/// Dead letters that were not sent back yet, or that this request sent back.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LetterList {
    /// The letters, partition by partition, the oldest first.
    items: Vec<LetterItem>,
    /// How many were sent back and acknowledged; in a list or a dry run, how many can be.
    #[schema(example = 17)]
    sent: usize,
    /// How many cannot be sent back: `problem` says why.
    #[schema(example = 0)]
    left: usize,
    /// Whether more letters are left.
    more: bool,
}

/// A record that Lambda discarded after all its retries.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LetterItem {
    /// The letter's partition in the dead-letter topic.
    #[schema(example = 0)]
    partition: i32,
    /// The letter's offset in the partition.
    #[schema(example = 3)]
    offset: i64,
    /// Why Lambda discarded the record; null if this is not a dead letter.
    #[schema(required, example = "RetriesExhausted")]
    condition: Option<String>,
    /// How the function failed; null if it was not invoked.
    #[schema(required, example = "Unhandled")]
    function_error: Option<String>,
    /// Topic, partition and offset of the record; null if this is not a dead letter.
    #[schema(required)]
    record: Option<LetterRecord>,
    /// How often the record was sent back before: at most three times.
    #[schema(example = 0)]
    redriven: u8,
    /// Why it cannot be sent back; null if it can be.
    #[schema(required, example = json!(null))]
    problem: Option<String>,
}

/// The record of a dead letter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LetterRecord {
    /// Topic of the record.
    #[schema(example = "price-events")]
    topic: String,
    /// Partition of the topic.
    #[schema(example = 3)]
    partition: i32,
    /// Offset in the partition.
    #[schema(example = 41)]
    offset: i64,
    /// The record's key as text, at most 200 bytes of it; null if it has none.
    #[schema(required, example = "AAPL")]
    key: Option<String>,
    /// The record's value as text, at most 1,000 bytes of it.
    #[schema(example = "{\"symbol\":\"AAPL\",\"price\":150.25}")]
    value: String,
}

impl From<Letter> for LetterRecord {
    fn from(letter: Letter) -> Self {
        Self {
            topic: letter.topic,
            partition: letter.partition,
            offset: letter.offset,
            key: letter.key.map(|key| shown(&key, SHOWN_KEY)),
            value: shown(&letter.value, SHOWN_VALUE),
        }
    }
}

impl From<Seen> for LetterItem {
    fn from(seen: Seen) -> Self {
        let problem = match seen.action {
            Action::Left(reason) => Some(reason.to_string()),
            _ => None,
        };
        let letter = seen.letter;
        Self {
            partition: seen.partition,
            offset: seen.offset,
            condition: letter.as_ref().map(|letter| letter.condition.clone()),
            function_error: letter
                .as_ref()
                .and_then(|letter| letter.function_error.clone()),
            redriven: letter.as_ref().map_or(0, |letter| letter.redriven),
            record: letter.map(LetterRecord::from),
            problem,
        }
    }
}

impl From<Redriven> for LetterList {
    fn from(redriven: Redriven) -> Self {
        let Outcome {
            sent, left, more, ..
        } = redriven.outcome;
        Self {
            items: redriven.letters.into_iter().map(LetterItem::from).collect(),
            sent,
            left,
            more,
        }
    }
}

/// The dead letters that were not sent back yet
///
/// A record whose batch the averager could not store, after all retries, is written to the
/// dead-letter topic.
#[utoipa::path(
    get,
    path = "/dead-letters",
    operation_id = "listDeadLetters",
    tag = "operation",
    params(LetterParameters),
    responses((status = OK, body = LetterList, description = "The oldest letters"), QueryProblems, KafkaProblems, AlwaysProblems)
)]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    uri: Uri,
) -> Result<Json<LetterList>, Problem> {
    let mut query = QueryParameters::read::<LetterParameters>(&uri);
    let selection = Selection {
        reason: query.optional("reason", reason_text),
        dry_run: true,
        limit: limit(&mut query),
    };
    query.finish(Some(()))?;

    redrive_selected(&state, &selection).await
}

/// Send dead letters back to the topic
///
/// Keys are unchanged, and an event without `id` or `polled_at` gets the values that it would have
/// had the first time. The oldest come first; none is sent twice, by whomever. A record that was
/// sent back three times and failed again is left. Repeat the request while `more` is true.
#[utoipa::path(
    post,
    path = "/dead-letters/redrive",
    operation_id = "redriveDeadLetters",
    tag = "operation",
    params(RedriveLetterParameters),
    responses((status = OK, body = LetterList, description = "The letters that were sent, or cannot be"), QueryProblems, KafkaProblems, AlwaysProblems)
)]
pub(crate) async fn redrive(
    State(state): State<Arc<AppState>>,
    uri: Uri,
) -> Result<Json<LetterList>, Problem> {
    let mut query = QueryParameters::read::<RedriveLetterParameters>(&uri);
    let selection = Selection {
        reason: query.optional("reason", reason_text),
        dry_run: query.optional("dry_run", truth).unwrap_or(false),
        limit: limit(&mut query),
    };
    query.finish(Some(()))?;

    redrive_selected(&state, &selection).await
}

fn limit(query: &mut QueryParameters) -> usize {
    query
        .optional("limit", |text| whole_number(text, 1, MAX_LETTERS))
        .unwrap_or(MAX_LETTERS)
}

async fn redrive_selected(
    state: &AppState,
    selection: &Selection,
) -> Result<Json<LetterList>, Problem> {
    let redriven = state.dead_letters.redrive(selection).await;
    let redriven = redriven.map_err(|error| {
        tracing::warn!(%error, "the dead letters cannot be read or sent back");
        Problem::kafka_unavailable()
    })?;
    Ok(Json(LetterList::from(redriven)))
}
