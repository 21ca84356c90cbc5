//! One invocation: decode, then store, waiting for Postgres where it is away.

use std::time::{Duration, SystemTime};

use backon::{ExponentialBuilder, Retryable};
use lambda_runtime::Diagnostic;
use serde::Serialize;
use shared::repository;
use shared::repository::ingest::{Ingest, Stored};
use tokio::time::Instant;

use crate::batch::{self, Batch, EventError};

/// What is left of the invocation's time to answer in, when waiting for Postgres ends.
const MARGIN: Duration = Duration::from_secs(3);
/// How long to wait where the host tells no usable deadline.
const DEFAULT_WAIT: Duration = Duration::from_secs(50);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

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

/// Why a batch was not stored; the whole of it should come again.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The event itself cannot be read.
    #[error(transparent)]
    Event(#[from] EventError),
    /// Postgres did not come back in time, or refused the batch.
    #[error(transparent)]
    Repository(#[from] repository::Error),
    /// Postgres did not answer in time.
    #[error("Postgres did not answer before the invocation's time ran out")]
    TimedOut,
}

impl From<BatchError> for Diagnostic {
    fn from(error: BatchError) -> Self {
        let error_type = match error {
            BatchError::Event(_) => "UnreadableEvent",
            BatchError::Repository(_) | BatchError::TimedOut => "BatchNotStored",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
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
/// What may pass later (Postgres away, a deadlock) is tried again until `give_up_at`.
///
/// # Errors
/// When the batch was not stored.
pub async fn handle(ingest: &Ingest, event: &str, give_up_at: Instant) -> Result<Summary, BatchError> {
    let batch = batch::decode(event)?;
    let attempts = (|| store(ingest, &batch))
        .retry(
            ExponentialBuilder::default()
                .with_min_delay(FIRST_PAUSE)
                .with_max_delay(LONGEST_PAUSE)
                .without_max_times(),
        )
        .when(repository::Error::is_transient)
        .notify(|error, pause| {
            tracing::warn!(error = detail(error), ?pause, "batch not stored, trying again");
        });
    let stored = tokio::time::timeout_at(give_up_at, attempts).await.map_err(|_| BatchError::TimedOut)??;
    let summary = Summary {
        added: stored.added,
        revised: stored.revised,
        superseded: stored.superseded,
        rejected: stored.rejected,
        expired: stored.expired,
    };
    tracing::info!(?summary, "batch stored");
    Ok(summary)
}

async fn store(ingest: &Ingest, batch: &Batch) -> Result<Stored, repository::Error> {
    ingest.store(&batch.events, &batch.rejected).await
}

/// The error with its cause, for the log.
fn detail(error: &repository::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}
