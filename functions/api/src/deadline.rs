//! Limits how long a request waits for other parts.

use std::future::Future;
use std::time::Duration;

use shared::repository;
use shared::schedules::ScheduleError;
use tokio::time::{Instant, timeout_at};

use crate::problem::Problem;

/// Longest that a request waits for Postgres and the scheduler, in all its calls together. It is
/// answered within 5 s.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(4_500);
/// Longest that a request which asks providers may take, all its work included. It is answered
/// before the function's timeout of 29 s.
pub const ASKING_TIME: Duration = Duration::from_secs(25);

/// The time at which a request stops waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// The deadline of a request that begins now and asks no provider.
    pub(crate) fn of_request() -> Self {
        Self::after(REQUEST_TIMEOUT)
    }

    /// The deadline `time` from now.
    pub(crate) fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// This deadline, or `time` from now if that is earlier.
    pub(crate) fn within(self, time: Duration) -> Self {
        Self(self.0.min(Instant::now() + time))
    }

    /// The deadline that leaves `time` until this one, for a later step.
    pub(crate) fn leaving(self, time: Duration) -> Self {
        Self(self.0 - time)
    }

    /// The time that is left.
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Waits for `work` until the deadline. Returns `None` if it is not done by then; work whose
    /// deadline has passed is not started.
    pub(crate) async fn wait<T>(self, work: impl Future<Output = T>) -> Option<T> {
        if self.0 <= Instant::now() {
            return None;
        }

        timeout_at(self.0, work).await.ok()
    }

    /// Runs statements until the deadline, and for at most [`REQUEST_TIMEOUT`].
    pub(crate) async fn postgres<T, E>(
        self,
        statements: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Problem>
    where
        Problem: From<E>,
        E: From<repository::Error>,
    {
        let answered = self.within(REQUEST_TIMEOUT).wait(statements).await;

        answered.map_or_else(
            || {
                tracing::warn!("Postgres did not answer in time");
                Err(Problem::database_unavailable())
            },
            |result| result.map_err(Problem::from),
        )
    }

    /// Waits for a call to the scheduler until the deadline. `action` describes the call in the
    /// error.
    pub(crate) async fn schedules(
        self,
        action: &'static str,
        call: impl Future<Output = Result<(), ScheduleError>>,
    ) -> Result<(), ScheduleError> {
        let too_late = || {
            Err(ScheduleError {
                action,
                reason: "the request's time was up".to_owned(),
            })
        };

        self.wait(call).await.unwrap_or_else(too_late)
    }
}

/// Runs the statements of a request that needs Postgres only.
pub(crate) async fn postgres<T, E>(
    statements: impl Future<Output = Result<T, E>>,
) -> Result<T, Problem>
where
    Problem: From<E>,
    E: From<repository::Error>,
{
    Deadline::of_request().postgres(statements).await
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test]
    async fn once_a_request_s_time_is_up_neither_postgres_nor_the_scheduler_is_asked() {
        let deadline = Deadline::of_request().leaving(REQUEST_TIMEOUT);
        let statements = ready(Ok::<(), repository::Error>(()));

        assert_eq!(
            deadline.postgres(statements).await,
            Err(Problem::database_unavailable())
        );
        assert!(
            deadline
                .schedules("delete the schedule", ready(Ok(())))
                .await
                .is_err()
        );
    }
}
