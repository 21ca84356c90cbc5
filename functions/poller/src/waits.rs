//! Waits that end with the invocation's time, or when the process has to end.

use std::future::Future;
use std::time::Duration;

use chrono::TimeDelta;
use shared::market::Timestamp;
use shared::repository;
use tracing::warn;

use crate::limits::{ATTEMPT, Limits};
use crate::{FiringError, Poller};

/// Pause before Postgres is tried again.
const RETRY_PAUSE: TimeDelta = TimeDelta::seconds(1);

impl Poller {
    /// Repeats an operation while Postgres is unavailable, until `until` or the invocation's end,
    /// whichever is earlier. An attempt without an answer within [`ATTEMPT`] is abandoned and
    /// repeated on another connection. `step` names the operation in errors and logs.
    pub(crate) async fn patiently<T, F>(
        &self,
        step: &'static str,
        until: Timestamp,
        limits: &Limits,
        operation: impl Fn() -> F,
    ) -> Result<T, FiringError>
    where
        F: Future<Output = Result<T, repository::Error>>,
    {
        let until = until.min(limits.end);

        loop {
            let attempt = self.within(ATTEMPT, limits.end, operation()).await;
            match attempt.unwrap_or_else(|| Err(repository::Error::unanswered())) {
                Err(error) if error.is_transient() && self.clock.now() + RETRY_PAUSE < until => {
                    warn!(%error, step, "trying again");
                    self.wait_until(self.clock.now() + RETRY_PAUSE).await?;
                }
                Err(error) if error.is_transient() => {
                    return Err(FiringError::OutOfTime { step, error });
                }
                result => return Ok(result?),
            }
        }
    }

    /// Runs `work` for at most `at_most`, and until `by`. Returns `None` if it takes longer, or if
    /// `by` has passed before it starts.
    pub(crate) async fn within<T>(
        &self,
        at_most: Duration,
        by: Timestamp,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let left = (by - self.clock.now())
            .to_std()
            .ok()
            .filter(|left| !left.is_zero())?;

        tokio::time::timeout(left.min(at_most), work).await.ok()
    }

    /// Waits until `time`; fails with [`FiringError::Stopping`] as soon as the process has to end.
    pub(crate) async fn wait_until(&self, time: Timestamp) -> Result<(), FiringError> {
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => Err(FiringError::Stopping),
            () = self.clock.wait_until(time) => Ok(()),
        }
    }
}
