//! Lambda's asynchronous invocation: somebody hands over an event and goes away; it is tried again
//! after an error.

use std::time::Duration;

use axum::body::Bytes;
use chrono::TimeDelta;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Timestamp};
use crate::invoker::{InvokeError, Invoker, Outcome};
use crate::template::FunctionDefinition;

/// Waits before a throttled event is tried again: the first, which doubles up to the longest.
const THROTTLED_WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Wait before a function whose host cannot be reached is tried again.
const UNREACHABLE_WAIT: Duration = Duration::from_secs(5);

/// AWS's waits before the second attempt of an event that was answered with an error, and before
/// the third.
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

/// An event on its way to a function.
#[derive(Debug)]
pub(crate) struct AsyncInvocation<'a> {
    pub(crate) invoker: &'a dyn Invoker,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) function: &'a str,
    pub(crate) payload: Bytes,
    pub(crate) retries: Retries,
    pub(crate) retry_waits: [Duration; 2],
    /// Invocations that this function works on at once; more wait for one of them to be answered.
    pub(crate) in_flight: &'a Semaphore,
    /// Cancelled when the event is not wanted any more.
    pub(crate) withdrawn: &'a CancellationToken,
    pub(crate) stop: &'a CancellationToken,
}

impl AsyncInvocation<'_> {
    /// True once the function answered without error; false when that will not come. `report` is
    /// told each reason.
    pub(crate) async fn run(&self, report: impl Fn(&str)) -> bool {
        let queued = self.clock.now();
        let (mut errors, mut told_unreachable) = (0, false);
        let mut throttled_wait = THROTTLED_WAITS.0;
        loop {
            let Ok(permit) = self.in_flight.acquire().await else {
                return false;
            };
            if self.withdrawn.is_cancelled() || self.stop.is_cancelled() {
                return false;
            }
            let answer = self
                .invoker
                .invoke(self.function, self.payload.clone())
                .await;
            drop(permit);
            let wait = match answer {
                Ok(Outcome::Success(_)) => return true,
                // The emulator stops, and the function with it.
                Ok(Outcome::FunctionError(_)) if self.stop.is_cancelled() => return false,
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
                    let wait = throttled_wait;
                    throttled_wait = THROTTLED_WAITS.1.min(wait * 2);
                    Some(wait)
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
                Err(InvokeError::Stopping) => return false,
            };
            let Some(wait) = wait else { return false };
            if !self.wait(wait, queued, &report).await {
                return false;
            }
        }
    }

    /// False when the event is too old by then or not wanted any more, or the emulator stops.
    async fn wait(&self, wait: Duration, queued: Timestamp, report: &impl Fn(&str)) -> bool {
        let moment = self.clock.now() + delta(wait);
        if moment - queued > delta(self.retries.max_age) {
            report("it is too old to be tried again");
            return false;
        }
        tokio::select! {
            () = self.clock.sleep_until(moment) => true,
            () = self.withdrawn.cancelled() => false,
            () = self.stop.cancelled() => false,
        }
    }
}

/// A setting as a span of time; one beyond what chrono counts is as good as a year.
fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::days(365))
}
