//! The time limits of a run and its tasks. They let it end by itself before Lambda cuts it off, so
//! that failures are recorded and reported, and CloudFormation gets its answer.

use std::error::Error;
use std::time::Duration;

use chrono::TimeDelta;
use shared::market::Timestamp;
use tokio::time::{Instant, timeout, timeout_at};

/// The function's timeout in `template.yaml`. It is used if the host gives no usable deadline.
const DEFAULT: Duration = Duration::from_secs(300);
/// Lambda's longest timeout: no invocation's deadline is further in the future.
const LONGEST: TimeDelta = TimeDelta::minutes(15);
/// The time between the end of all tasks and the deadline: for recording the result, for metrics,
/// and for the answer to CloudFormation with its repetitions.
const CLOSING: Duration = Duration::from_secs(60);
/// Longest that one task may take, so that a task that hangs leaves time for the others. Migrating
/// has a limit of its own.
const TASK: Duration = Duration::from_secs(130);
/// Longest that a run waits for a step that only reports its result.
pub(crate) const TELLING: Duration = Duration::from_secs(5);

/// Why a task was not done.
#[derive(Debug, thiserror::Error)]
pub enum Undone<E: Error> {
    /// It took longer than it may, or the time was up before it began.
    #[error("no time was left for it; the next run continues")]
    OutOfTime,
    /// It failed.
    #[error(transparent)]
    Failed(E),
}

/// The time available to the tasks of one run.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    until: Instant,
    longest_task: Duration,
}

impl Time {
    /// The time of an invocation that begins `now`, from Lambda's deadline in milliseconds since
    /// 1970.
    ///
    /// Some local tools give a time in 1970. A deadline that has passed, or is further in the
    /// future than Lambda's longest timeout, is replaced by five minutes from `now`.
    #[must_use]
    pub fn before(milliseconds: u64, now: Timestamp) -> Self {
        let told = i64::try_from(milliseconds)
            .ok()
            .and_then(Timestamp::from_timestamp_millis);

        let left = told.map(|told| told - now).filter(|left| *left <= LONGEST);
        let left = left
            .and_then(|left| left.to_std().ok())
            .filter(|left| !left.is_zero())
            .unwrap_or(DEFAULT);

        Self::of(left.saturating_sub(CLOSING))
    }

    /// The time from now until `time` has passed.
    #[must_use]
    pub fn of(time: Duration) -> Self {
        Self {
            until: Instant::now() + time,
            longest_task: TASK,
        }
    }

    /// Runs a task that may take all of the remaining time.
    pub(crate) async fn all<T, E: Error>(
        self,
        task: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Undone<E>> {
        let done = timeout_at(self.until, task)
            .await
            .map_err(|_| Undone::OutOfTime)?;
        done.map_err(Undone::Failed)
    }

    /// Runs a task for at most [`TASK`], which leaves time for others.
    pub(crate) async fn share<T, E: Error>(
        self,
        task: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Undone<E>> {
        let done = timeout(self.longest_task, self.all(task)).await;
        done.unwrap_or(Err(Undone::OutOfTime))
    }
}

#[cfg(test)]
mod tests;
