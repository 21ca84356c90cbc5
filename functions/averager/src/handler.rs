//! One invocation: decode, then store, waiting for Postgres where it is away.

use std::ops::Add;
use std::time::{Duration, SystemTime};

use chrono::Utc;
use lambda_runtime::Diagnostic;
use serde::Serialize;
use shared::repository;
use shared::repository::ingest::{Ingest, Stored};
use tokio::time::Instant;

use crate::batch::{self, EventError};
use crate::storing::{self, LastAnswer};

/// What is left of the invocation's time to answer in, when waiting for Postgres ends.
const MARGIN: Duration = Duration::from_secs(3);
/// How long to wait where the host tells no usable deadline.
const DEFAULT_WAIT: Duration = Duration::from_secs(50);

/// The answer to a batch: what became of its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Records that became new points.
    pub added: usize,
    /// Records that changed a stored point, being a later poll of the same quote.
    pub revised: usize,
    /// Records that a newer answer for their quote had beaten.
    pub superseded: usize,
    /// Records in quarantine.
    pub rejected: usize,
    /// Records of quotes older than what retention has left.
    pub expired: usize,
}

impl Add<Stored> for Summary {
    type Output = Self;

    fn add(self, stored: Stored) -> Self {
        Self {
            added: self.added + stored.added,
            revised: self.revised + stored.revised,
            superseded: self.superseded + stored.superseded,
            rejected: self.rejected + stored.rejected,
            expired: self.expired + stored.expired,
        }
    }
}

/// Why a batch was not stored; the whole of it should come again.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The event itself cannot be read.
    #[error(transparent)]
    Event(#[from] EventError),
    /// Postgres refused the batch, or too many of its events.
    #[error("{}", .0.coded())]
    Repository(#[from] repository::Error),
    /// Postgres did not store it in time; with what it answered last, if it did.
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

/// The moment to give up waiting, from the invocation's deadline in milliseconds since 1970.
///
/// `cargo lambda watch` gives a deadline in 1970, which means none.
#[must_use]
pub fn deadline(deadline_ms: u64) -> Instant {
    let deadline = SystemTime::UNIX_EPOCH + Duration::from_millis(deadline_ms);
    let left = deadline.duration_since(SystemTime::now()).ok();
    Instant::now() + left.map_or(DEFAULT_WAIT, |left| left.saturating_sub(MARGIN))
}

/// Stores the batch in `event`, the JSON of an event source mapping's invocation.
///
/// What may pass later (Postgres away, a deadlock) is tried again until `give_up_at`. What cannot pass is not waited for.
///
/// # Errors
/// When the batch was not stored, or not the whole of it.
pub async fn handle(
    ingest: &Ingest,
    event: &str,
    give_up_at: Instant,
) -> Result<Summary, BatchError> {
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
    stored.inspect(|summary| tracing::info!(?summary, "batch stored"))
}
