//! Waits that end with the invocation's time, or when the process has to end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use shared::market::Timestamp;
use shared::repository;
use tracing::warn;

use crate::limits::{ATTEMPT, Limits};
use crate::{FiringError, Poller};

/// Pause before Postgres is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

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
        let time_is_left = || self.clock.now() + RETRY_PAUSE < until;

        let mut repeated = false;
        let attempt = || {
            // The first attempt is made even if the process has to end: it may record a result.
            let stopping = repeated && self.stopping.is_cancelled();
            repeated = true;
            let attempt = self.within(ATTEMPT, limits.end, operation());

            async move {
                if stopping {
                    return Err(FiringError::Stopping);
                }
                let answer = attempt.await;
                answer
                    .unwrap_or_else(|| Err(repository::Error::unanswered()))
                    .map_err(|error| FiringError::of_step(step, error))
            }
        };

        let pauses = ConstantBuilder::default()
            .with_delay(RETRY_PAUSE)
            .without_max_times();
        let answered = attempt
            .retry(pauses)
            .sleep(self.sleep())
            .when(|error| matches!(error, FiringError::OutOfTime { .. }) && time_is_left())
            .notify(|error, _| {
                if let FiringError::OutOfTime { error, .. } = error {
                    warn!(%error, step, "cannot {step} yet; retrying");
                }
            });

        // Boxed, because it would be part of the future of every step.
        Box::pin(answered).await
    }

    /// A sleep by the poller's clock, which ends early when the process has to end.
    fn sleep(&self) -> impl Fn(Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> + use<> {
        let (clock, stopping) = (Arc::clone(&self.clock), self.stopping.clone());

        move |pause| {
            let (clock, stopping) = (Arc::clone(&clock), stopping.clone());
            Box::pin(async move {
                let waited = clock.wait_until(clock.now() + pause);
                stopping.run_until_cancelled(waited).await;
            })
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
