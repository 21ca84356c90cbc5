//! Lambda's asynchronous invocation: a client leaves an event and does not wait for the answer.
//! After an error, the event is tried again.

use std::time::Duration;

use axum::body::Bytes;
use chrono::TimeDelta;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Timestamp};
use crate::invoker::{InvokeError, Invoker, Outcome};
use crate::pauses::Pauses;
use crate::template::FunctionDefinition;

/// Waits before a throttled event is tried again: the first one, which doubles, and the longest.
const THROTTLED_WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Wait before an event is tried again if the function's host could not be reached.
const UNREACHABLE_WAIT: Duration = Duration::from_secs(5);

/// AWS's waits before the second and the third attempt of an event that was answered with an error.
pub(crate) const RETRY_WAITS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];

/// A function's settings for asynchronous invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retries {
    /// `MaximumRetryAttempts`: 0 to 2.
    pub(crate) attempts: u32,
    /// `MaximumEventAgeInSeconds`.
    pub(crate) max_age: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 2,
            max_age: Duration::from_secs(6 * 60 * 60),
        }
    }
}

impl From<&FunctionDefinition> for Retries {
    fn from(function: &FunctionDefinition) -> Self {
        Self {
            attempts: function.async_retry_attempts,
            max_age: function.async_max_age,
        }
    }
}

/// How the delivery of an event ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The function answered without error.
    Answered,
    /// The attempts failed, and no further one is allowed.
    GivenUp,
    /// The event is no longer wanted, or the emulator is stopping.
    Interrupted,
}

/// An event that is to be delivered to a function.
#[derive(Debug)]
pub(crate) struct AsyncInvocation<'a> {
    pub(crate) invoker: &'a dyn Invoker,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) function: &'a str,
    pub(crate) payload: Bytes,
    pub(crate) retries: Retries,
    pub(crate) retry_waits: [Duration; 2],
    /// Limits the invocations that the function processes at once. Further ones wait.
    pub(crate) in_flight: &'a Semaphore,
    /// Cancelled when the event is no longer wanted.
    pub(crate) withdrawn: &'a CancellationToken,
    pub(crate) stop: &'a CancellationToken,
}

impl AsyncInvocation<'_> {
    /// Delivers the event, with as many attempts as its settings allow. `report` receives the
    /// reason of each failed attempt, but of an unreachable host only once.
    pub(crate) async fn run(&self, report: impl Fn(&str)) -> Ending {
        let queued = self.clock.now();
        let (mut errors, mut told_unreachable) = (0, false);
        let mut throttled_waits = Pauses::new(THROTTLED_WAITS.0, THROTTLED_WAITS.1);

        loop {
            let Ok(permit) = self.in_flight.acquire().await else {
                return Ending::Interrupted;
            };

            // Only now: the wait for the permit may have been long.
            if self.withdrawn.is_cancelled() || self.stop.is_cancelled() {
                return Ending::Interrupted;
            }

            let answer = self
                .invoker
                .invoke(self.function, self.payload.clone())
                .await;
            // Released before the wait, so that an event between two attempts holds no permit.
            drop(permit);

            let wait = match answer {
                Ok(Outcome::Success(_)) => return Ending::Answered,
                // The emulator is stopping, and the function with it.
                Ok(Outcome::FunctionError(_)) if self.stop.is_cancelled() => {
                    return Ending::Interrupted;
                }
                Ok(Outcome::FunctionError(error)) => {
                    report(&error.error_type);
                    errors += 1;
                    let wait = self.retry_waits[usize::from(errors > 1)];
                    if errors > self.retries.attempts {
                        None
                    } else {
                        Some(wait)
                    }
                }
                Err(throttled @ InvokeError::Throttled(_)) => {
                    report(&throttled.to_string());
                    Some(throttled_waits.next())
                }
                Err(unreachable @ InvokeError::Unreachable(_)) => {
                    if !told_unreachable {
                        report(&unreachable.to_string());
                    }
                    told_unreachable = true;
                    Some(UNREACHABLE_WAIT)
                }
                Err(InvokeError::NoSuchFunction(_)) => {
                    report("there is no such function");
                    None
                }
                Err(InvokeError::Stopping) => return Ending::Interrupted,
            };

            let Some(wait) = wait else {
                return Ending::GivenUp;
            };
            if let Some(ending) = self.wait(wait, queued, &report).await {
                return ending;
            }
        }
    }

    /// Waits for the next attempt. Returns an ending if there is none: the event will be too old
    /// then, is no longer wanted, or the emulator stops.
    async fn wait(
        &self,
        wait: Duration,
        queued: Timestamp,
        report: &impl Fn(&str),
    ) -> Option<Ending> {
        let moment = self.clock.now() + delta(wait);
        if moment - queued > delta(self.retries.max_age) {
            report("it is too old to be tried again");
            return Some(Ending::GivenUp);
        }

        tokio::select! {
            () = self.clock.sleep_until(moment) => None,
            () = self.withdrawn.cancelled() => Some(Ending::Interrupted),
            () = self.stop.cancelled() => Some(Ending::Interrupted),
        }
    }
}

/// Converts a setting. One that chrono cannot represent counts as a year.
fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::days(365))
}
