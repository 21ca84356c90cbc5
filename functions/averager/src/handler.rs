//! One invocation: decodes the batch and stores it, waiting while Postgres is unavailable.

use std::time::{Duration, SystemTime};

use chrono::Utc;
use lambda_runtime::Diagnostic;
use shared::repository;
use shared::repository::ingest::{Ingest, Stored};
use tokio::time::Instant;

use crate::batch::{self, EventError};
use crate::storing::{self, LastAnswer};

/// The time between the end of waiting for Postgres and the invocation's deadline: for the answer.
const MARGIN: Duration = Duration::from_secs(3);
/// How long to wait for Postgres if the host gives no usable deadline.
const DEFAULT_WAIT: Duration = Duration::from_secs(50);

/// Why a batch was not stored, so that the whole batch comes again.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The event itself cannot be read.
    #[error(transparent)]
    Event(#[from] EventError),
    /// Postgres refused the batch, or too many of its events.
    #[error("{}", .0.coded())]
    Repository(#[from] repository::Error),
    /// Postgres did not store it in time; with its last error, if it answered at all.
    #[error("Postgres did not store the batch before the invocation's time ran out{}", last_answer(.0.as_deref()))]
    TimedOut(Option<String>),
}

impl From<BatchError> for Diagnostic {
    fn from(error: BatchError) -> Self {
        let error_type = match error {
            BatchError::Event(_) => "UnreadableEvent",
            BatchError::Repository(_) | BatchError::TimedOut(_) => "BatchNotStored",
        };
        Self {
            error_type: error_type.to_owned(),
            error_message: error.to_string(),
        }
    }
}

fn last_answer(answer: Option<&str>) -> String {
    answer.map_or_else(String::new, |answer| format!("; its last answer: {answer}"))
}

/// When to stop waiting for Postgres, from the invocation's deadline in milliseconds since 1970.
///
/// `cargo lambda watch` gives a deadline in 1970: it counts as none, as does any that has passed.
#[must_use]
pub fn deadline(deadline_ms: u64) -> Instant {
    let deadline = SystemTime::UNIX_EPOCH + Duration::from_millis(deadline_ms);
    let left = deadline.duration_since(SystemTime::now()).ok();
    Instant::now() + left.map_or(DEFAULT_WAIT, |left| left.saturating_sub(MARGIN))
}

/// Stores the batch in `event`, the JSON of an event source mapping's invocation, and returns the
/// number of its records by their outcome.
///
/// Transient errors (Postgres unavailable, a deadlock) are retried until `give_up_at`. Other errors
/// are returned at once.
///
/// # Errors
/// When the batch, or a part of it, was not stored.
pub async fn handle(
    ingest: &Ingest,
    event: &str,
    give_up_at: Instant,
) -> Result<Stored, BatchError> {
    let now = Utc::now();
    let batch = batch::decode(event, now)?;

    let last_answer = LastAnswer::default();
    let storing = storing::store(ingest, event, &batch, now, &last_answer);
    let stored = tokio::time::timeout_at(give_up_at, storing).await;
    let stored = stored.unwrap_or_else(|_| Err(BatchError::TimedOut(last_answer.take())));

    match &stored {
        Err(BatchError::Repository(error)) => storing::note_failure(ingest, &error.coded()).await,
        Err(error @ BatchError::TimedOut(_)) => {
            storing::note_failure(ingest, &error.to_string()).await;
        }
        Ok(_) | Err(BatchError::Event(_)) => {}
    }

    stored.inspect(|stored| tracing::info!(?stored, "batch stored"))
}
