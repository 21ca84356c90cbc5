//! One invocation: decodes the batch and stores it, waiting while Postgres is unavailable.

use std::time::{Duration, SystemTime};

use chrono::Utc;
use shared::repository::ingest::{Ingest, Stored};
use tokio::time::Instant;

use crate::batch;
use crate::failure::BatchError;
use crate::storing::{self, LastAnswer};

/// The time between the end of waiting for Postgres and the invocation's deadline: for the answer.
const MARGIN: Duration = Duration::from_secs(3);
/// Lambda's longest timeout.
const LONGEST_INVOCATION: Duration = Duration::from_secs(15 * 60);
/// How long to wait for Postgres if the host gives no usable deadline.
const DEFAULT_WAIT: Duration = Duration::from_secs(50);

/// When to stop waiting for Postgres, from the invocation's deadline in milliseconds since 1970.
///
/// `cargo lambda watch` gives a deadline in 1970. It counts as none, as does any that has passed or
/// is further ahead than an invocation can last.
#[must_use]
pub fn deadline(deadline_ms: u64) -> Instant {
    let deadline = SystemTime::UNIX_EPOCH + Duration::from_millis(deadline_ms);
    let left = deadline
        .duration_since(SystemTime::now())
        .ok()
        .filter(|left| *left <= LONGEST_INVOCATION);
    Instant::now() + left.map_or(DEFAULT_WAIT, |left| left.saturating_sub(MARGIN))
}

/// Stores the batch in `event`, the text of an event source mapping's invocation, and returns the
/// number of its records by their outcome.
///
/// Transient errors (Postgres unavailable, a deadlock) are retried until `give_up_at`. Other errors
/// are returned at once.
///
/// # Errors
/// When the batch, or a part of it, was not stored.
pub async fn handle(
    ingest: &Ingest,
    event: &(impl AsRef<[u8]> + ?Sized),
    give_up_at: Instant,
) -> Result<Stored, BatchError> {
    let (event, now) = (event.as_ref(), Utc::now());
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

    stored.inspect(|stored| tracing::debug!(?stored, "batch stored"))
}
