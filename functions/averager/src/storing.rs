//! Storing a batch: again while Postgres is away, and in parts where it refuses what one of the events brings.

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

use crate::batch::{self, Batch};
use crate::handler::{BatchError, Summary};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Longest that one attempt takes: a hundred times what a full batch does, and twice as long as a writer that has vanished
/// can hold others up. Past it the connection counts as lost.
const ATTEMPT: Duration = Duration::from_secs(20);
/// Most transactions for the parts of one batch: enough to find some twenty refused events among 10,000. With more the
/// invocation fails, and each half of the batch comes again by itself.
const MOST_PARTS: usize = 500;
/// Longest that noting a failure takes.
const NOTING: Duration = Duration::from_secs(1);

/// What Postgres answered last of what may pass, by its code. That it gave no answer is none.
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

/// Stores the whole batch that `event` holds, judged at `now`.
///
/// An event whose values Postgres refuses joins the rejected ones, and all others are stored.
///
/// # Errors
/// When Postgres refuses for another reason than an event's values, or refuses too many events.
pub(crate) async fn store(
    ingest: &Ingest,
    event: &str,
    batch: &Batch,
    now: Timestamp,
    last_answer: &LastAnswer,
) -> Result<Summary, BatchError> {
    match patiently(ingest, &batch.events, &batch.rejected, last_answer).await {
        Ok(stored) => return Ok(Summary::default() + stored),
        Err(error) => {
            tracing::warn!(
                error = error.detail(),
                "batch refused as a whole, trying it in parts"
            );
        }
    }

    let (summary, refused) = in_parts(ingest, &batch.events, last_answer).await?;
    let mut rejected = batch::set_aside(event, now, &refused)?;
    tell(ingest, &rejected).await;
    rejected.extend(batch.rejected.iter().cloned());
    Ok(summary + patiently(ingest, &[], &rejected, last_answer).await?)
}

/// Tells of events that Postgres refused: each in the log, the last one where `GET /health` finds it.
async fn tell(ingest: &Ingest, refused: &[RejectedEvent]) {
    let place = |event: &RejectedEvent| {
        format!(
            "{}-{} at offset {}",
            event.topic, event.partition, event.offset
        )
    };
    for event in refused {
        tracing::error!(
            event = place(event),
            reason = event.reason,
            "event refused, putting it into quarantine"
        );
    }
    if let Some(event) = refused.last() {
        note_failure(ingest, &format!("{}: {}", place(event), event.reason)).await;
    }
}

/// Notes a failure that waiting does not mend, where `GET /health` finds it. That it cannot be noted harms nothing else.
pub(crate) async fn note_failure(ingest: &Ingest, error: &str) {
    let noted = timeout(NOTING, ingest.note_failure(error)).await;
    if let Err(error) = noted.unwrap_or_else(|_| Err(repository::Error::unanswered())) {
        tracing::warn!(
            error = error.detail(),
            "the failure could not be noted for the health check"
        );
    }
}

/// Stores events in ever smaller parts, until those that Postgres refuses are alone; returns these by their index, with
/// the reason. Parts are stored in the order of their events, though points come out the same in any.
///
/// The first part is the whole, once more: what the writer remembered when it failed is forgotten, and may have been
/// what was wrong.
async fn in_parts(
    ingest: &Ingest,
    events: &[PriceEvent],
    last_answer: &LastAnswer,
) -> Result<(Summary, BTreeMap<usize, String>), repository::Error> {
    let (mut summary, mut refused) = (Summary::default(), BTreeMap::new());
    let whole = 0..events.len();
    let mut parts = vec![whole];
    let mut tried = 0;
    while let Some(part) = parts.pop() {
        tried += 1;
        match patiently(ingest, &events[part.clone()], &[], last_answer).await {
            Ok(stored) => summary = summary + stored,
            Err(error) if !error.concerns_data() || tried >= MOST_PARTS => return Err(error),
            Err(error) if part.len() > 1 => {
                tracing::debug!(?part, error = error.detail(), "part refused");
                let middle = part.start.midpoint(part.end);
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
    Ok((summary, refused))
}

/// Stores the events, again and again while it may help; the caller limits the time.
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
            tracing::warn!(
                error = error.detail(),
                ?pause,
                "batch not stored, trying again"
            );
        })
        .await
}
