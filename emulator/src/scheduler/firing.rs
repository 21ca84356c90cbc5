//! Fires what is due, and delivers each firing as Lambda's asynchronous invocation does.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::book::Firing;
use super::clock::Timestamp;
use super::payload::payload;
use super::{Scheduler, Target};
use crate::invoker::{InvokeError, Outcome};

/// Firings that a function is working on at once; more wait for one of them to be answered.
const MOST_IN_FLIGHT: usize = 256;
/// Firings under way at once, those that wait for another attempt included. At this limit nothing new is fired.
const MOST_UNDER_WAY: usize = 4_096;
/// Waits before a throttled firing is tried again.
const THROTTLED_WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// Fires until stopped, then waits until what is in flight is answered and noted.
pub(super) async fn run(scheduler: Arc<Scheduler>, stop: CancellationToken) {
    let deliveries = TaskTracker::new();
    let (in_flight, under_way) = (Semaphore::new(MOST_IN_FLIGHT), Arc::new(Semaphore::new(MOST_UNDER_WAY)));
    let in_flight = Arc::new(in_flight);
    stop.run_until_cancelled(async {
        loop {
            let now = scheduler.clock.now();
            let due = scheduler.book().take_due(now);
            for firing in due {
                let Ok(permit) = Arc::clone(&under_way).acquire_owned().await else { return };
                let delivery = Delivery {
                    scheduler: Arc::clone(&scheduler),
                    in_flight: Arc::clone(&in_flight),
                    stop: stop.clone(),
                    firing,
                };
                deliveries.spawn(delivery.run(permit));
            }
            let next = scheduler.book().next_instant(now);
            tokio::select! {
                () = scheduler.changed.notified() => {}
                () = scheduler.clock.sleep_until(next.unwrap_or(Timestamp::MAX_UTC)) => {}
            }
        }
    })
    .await;
    deliveries.close();
    deliveries.wait().await;
}

struct Delivery {
    scheduler: Arc<Scheduler>,
    in_flight: Arc<Semaphore>,
    stop: CancellationToken,
    firing: Firing,
}

impl Delivery {
    async fn run(self, _under_way: OwnedSemaphorePermit) {
        if !self.deliver().await {
            return;
        }
        let Self { scheduler, firing, .. } = self;
        scheduler.note_answered(firing).await;
    }

    /// True once the function answered without error; false when that will not come.
    async fn deliver(&self) -> bool {
        let function = self.firing.target.function();
        let Target { async_retry_attempts, async_max_age } = self.scheduler.target(function);
        let payload = payload(&self.firing, &self.scheduler.account);
        let queued = self.scheduler.clock.now();
        let mut errors = 0;
        let mut throttled_wait = THROTTLED_WAITS.0;
        loop {
            let Ok(permit) = self.in_flight.acquire().await else { return false };
            if self.firing.deleted.is_cancelled() || self.stop.is_cancelled() {
                return false;
            }
            let answer = self.scheduler.invoker.invoke(function, payload.clone()).await;
            drop(permit);
            let wait = match answer {
                Ok(Outcome::Success(_)) => return true,
                // The emulator stops, and the function with it: the firing comes again at the next start.
                Ok(Outcome::FunctionError(_)) if self.stop.is_cancelled() => return false,
                Ok(Outcome::FunctionError(error)) => {
                    self.report(&error.error_type);
                    errors += 1;
                    let wait = self.scheduler.retry_waits[usize::from(errors > 1)];
                    if errors > async_retry_attempts { None } else { Some(wait) }
                }
                Err(InvokeError::Throttled(_)) => {
                    let wait = throttled_wait;
                    throttled_wait = THROTTLED_WAITS.1.min(wait * 2);
                    Some(wait)
                }
                Err(InvokeError::NoSuchFunction(_)) => {
                    self.report("there is no such function");
                    None
                }
                Err(InvokeError::Stopping) => return false,
            };
            let Some(wait) = wait else { return false };
            if !self.wait(wait, queued, async_max_age).await {
                return false;
            }
        }
    }

    /// False when the firing is too old by then, its schedule is deleted, or the emulator stops.
    async fn wait(&self, wait: Duration, queued: Timestamp, max_age: Duration) -> bool {
        let (wait, max_age) = (delta(wait), delta(max_age));
        let moment = self.scheduler.clock.now() + wait;
        if moment - queued > max_age {
            self.report("it is too old to be tried again");
            return false;
        }
        tokio::select! {
            () = self.scheduler.clock.sleep_until(moment) => true,
            () = self.firing.deleted.cancelled() => false,
            () = self.stop.cancelled() => false,
        }
    }

    fn report(&self, reason: &str) {
        let (schedule, scheduled) = (&self.firing.key.name, self.firing.scheduled);
        let function = self.firing.target.function();
        tracing::warn!(schedule, %scheduled, function, reason, "a schedule's firing was not answered");
    }
}

/// A setting as a span of time; one beyond what chrono counts is as good as a year.
fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::days(365))
}
