//! Stores a batch: repeatedly while Postgres is unavailable, and in parts if Postgres refuses the
//! data of one of the events.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use shared::market::Timestamp;
use shared::price_event::PriceEvent;
use shared::repository;
use shared::repository::ingest::{Ingest, Stored};
use shared::repository::rejected_events::RejectedEvent;
use tokio::time::timeout;

use crate::batch::{self, DecodedBatch};
use crate::failure::BatchError;

/// Pause after the first failed attempt; each further pause is longer, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Longest that one attempt may take: a hundred times as long as a full batch takes, and twice as
/// long as a writer that has vanished can block others. After it the connection counts as lost.
const ATTEMPT: Duration = Duration::from_secs(20);
/// Most transactions for the parts of one batch: enough to find about twenty refused events among
/// 10,000. With more of them the invocation fails, and the event source mapping splits the batch.
const MOST_PARTS: usize = 500;
/// Longest that recording a failure may take.
const NOTING: Duration = Duration::from_secs(1);

/// Postgres's last transient error, with its code; `None` if the last attempt got no answer.
#[derive(Debug, Default)]
pub(crate) struct LastAnswer(Mutex<Option<String>>);

impl LastAnswer {
    fn note(&self, error: &repository::Error) {
        let answer = error.code().map(|_| error.coded());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    pub(crate) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Stores the whole batch, which was decoded from `event` at `now`.
///
/// An event whose values Postgres refuses goes to quarantine with the batch's rejected records. All
/// others are stored.
///
/// # Errors
/// When Postgres refuses for a reason other than an event's values, or refuses too many events.
pub(crate) async fn store(
    ingest: &Ingest,
    event: &[u8],
    batch: &DecodedBatch,
    now: Timestamp,
    last_answer: &LastAnswer,
) -> Result<Stored, BatchError> {
    match patiently(ingest, &batch.events, &batch.rejected, last_answer).await {
        Ok(stored) => return Ok(stored),
        // Postgres does not say which event it refuses, and has stored none of the batch.
        Err(error) => {
            tracing::warn!(
                error = error.detail(),
                "Postgres refused the whole batch; storing it in parts"
            );
        }
    }

    let (stored, refused) = in_parts(ingest, &batch.events, last_answer).await?;
    let mut rejected = batch::set_aside(event, now, &refused)?;
    tell(ingest, &rejected).await;

    rejected.extend(batch.rejected.iter().cloned());
    Ok(stored + patiently(ingest, &[], &rejected, last_answer).await?)
}

/// Reports events that Postgres refused: logs each, and records the last one for `GET /health`.
async fn tell(ingest: &Ingest, refused: &[RejectedEvent]) {
    let place = |event: &RejectedEvent| {
        format!(
            "{}-{} at offset {}",
            event.topic, event.partition, event.offset
        )
    };

    for event in refused {
        let (event, reason) = (place(event), &event.reason);
        tracing::error!(
            event,
            reason,
            "Postgres refused the event {event}; moving it to quarantine"
        );
    }

    if let Some(event) = refused.last() {
        note_failure(ingest, &format!("{}: {}", place(event), event.reason)).await;
    }
}

/// Records, for `GET /health`, a failure that waiting does not resolve. If it cannot be recorded,
/// only a log line says so.
pub(crate) async fn note_failure(ingest: &Ingest, error: &str) {
    let noted = timeout(NOTING, ingest.note_failure(error)).await;

    if let Err(error) = noted.unwrap_or_else(|_| Err(repository::Error::unanswered())) {
        tracing::warn!(
            error = error.detail(),
            "the failure could not be recorded for the health check"
        );
    }
}

/// Stores events in ever smaller parts, until those that Postgres refuses are alone. Returns these
/// by their index, with the reason. Parts are stored in the order of their events, although any
/// order gives the same points.
///
/// The first part is the whole batch again. The failure discarded what the writer remembered of the
/// series, which may have been the cause.
async fn in_parts(
    ingest: &Ingest,
    events: &[PriceEvent],
    last_answer: &LastAnswer,
) -> Result<(Stored, BTreeMap<usize, String>), repository::Error> {
    let (mut stored, mut refused) = (Stored::default(), BTreeMap::new());
    let whole = 0..events.len();
    let mut parts = vec![whole];
    let mut tried = 0;

    while let Some(part) = parts.pop() {
        tried += 1;

        match patiently(ingest, &events[part.clone()], &[], last_answer).await {
            Ok(part) => stored = stored + part,
            Err(error) if !error.concerns_data() || tried >= MOST_PARTS => return Err(error),
            Err(error) if part.len() > 1 => {
                tracing::debug!(
                    ?part,
                    error = error.detail(),
                    "Postgres refused the part {part:?} of a batch"
                );
                let middle = part.start.midpoint(part.end);
                // The second half first: the next part is taken from the end.
                parts.extend([middle..part.end, part.start..middle]);
            }
            Err(error) => {
                let code = error.code().unwrap_or_default();
                refused.insert(
                    part.start,
                    format!("Postgres refuses the event's values (SQLSTATE {code})"),
                );
            }
        }
    }

    Ok((stored, refused))
}

/// Stores the events, and repeats it after transient errors without limit: the caller limits the
/// time.
async fn patiently(
    ingest: &Ingest,
    events: &[PriceEvent],
    rejected: &[RejectedEvent],
    last_answer: &LastAnswer,
) -> Result<Stored, repository::Error> {
    let attempt = async || {
        let stored = timeout(ATTEMPT, ingest.store(events, rejected)).await;
        stored.unwrap_or_else(|_| Err(repository::Error::unanswered()))
    };

    let pauses = ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times();

    attempt
        .retry(pauses)
        .when(repository::Error::is_transient)
        .notify(|error, pause| {
            last_answer.note(error);
            tracing::warn!(error = error.detail(), ?pause, "batch not stored; retrying");
        })
        .await
}
