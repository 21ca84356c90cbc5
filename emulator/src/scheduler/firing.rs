//! Fires what is due, and delivers each firing like an asynchronous invocation of Lambda.

use std::sync::Arc;

use chrono::TimeDelta;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Scheduler;
use super::book::Firing;
use super::clock::Timestamp;
use super::payload::payload;
use crate::async_invocation::{AsyncInvocation, Ending};
use crate::per_function::PerFunction;

/// Firings that a function processes at once. Further ones wait until one of them is answered.
const MOST_IN_FLIGHT: usize = 256;
/// Firings of a function under way at once, including those that wait for another attempt. At this
/// limit, further firings of the function stay due.
const MOST_UNDER_WAY: usize = 4_096;
/// Wait until a function that was at its limit is tried again.
const LOOK_AGAIN: TimeDelta = TimeDelta::seconds(1);

/// Fires until stopped, then waits until the firings in flight are answered and noted.
pub(super) async fn run(scheduler: Arc<Scheduler>, stop: CancellationToken) {
    let deliveries = TaskTracker::new();
    let limit = |permits| PerFunction::new(scheduler.retries.keys(), permits);
    let (in_flight, under_way) = (limit(MOST_IN_FLIGHT), limit(MOST_UNDER_WAY));

    stop.run_until_cancelled(async {
        loop {
            let now = scheduler.clock.now();
            let (mut next, due, completed) = {
                let mut book = scheduler.book();
                // What is due is taken first: a schedule with a firing under way is not completed.
                let due = book.take_due(now);
                (book.next_instant(now), due, book.completed(now))
            };

            if !completed.is_empty() {
                let scheduler = Arc::clone(&scheduler);
                deliveries.spawn(async move { scheduler.remove_completed(completed).await });
            }

            for firing in due {
                let function = firing.target.function();
                let Ok(permit) = under_way.of(function).try_acquire_owned() else {
                    scheduler.book().put_back(&firing);
                    next = Some(next.unwrap_or(Timestamp::MAX_UTC).min(now + LOOK_AGAIN));
                    continue;
                };

                let delivery = Delivery {
                    scheduler: Arc::clone(&scheduler),
                    in_flight: in_flight.of(function),
                    stop: stop.clone(),
                    firing,
                };
                deliveries.spawn(delivery.run(permit));
            }

            // A change since the book was read has left a permit in `changed`, so none is missed.
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
        let ending = self.deliver().await;
        let Self {
            scheduler, firing, ..
        } = self;

        match ending {
            Ending::Answered => scheduler.settle(firing, true).await,
            Ending::GivenUp => scheduler.settle(firing, false).await,
            // If the emulator stops, the firing is delivered again after the next start.
            Ending::Interrupted => {}
        }
    }

    async fn deliver(&self) -> Ending {
        let function = self.firing.target.function();
        let invocation = AsyncInvocation {
            invoker: self.scheduler.invoker.as_ref(),
            clock: self.scheduler.clock.as_ref(),
            function,
            payload: payload(&self.firing, &self.scheduler.account),
            retries: self.scheduler.retries(function),
            retry_waits: self.scheduler.retry_waits,
            in_flight: &self.in_flight,
            withdrawn: &self.firing.deleted,
            stop: &self.stop,
        };

        invocation.run(|reason| self.report(reason)).await
    }

    fn report(&self, reason: &str) {
        let (schedule, scheduled) = (&self.firing.key.name, self.firing.scheduled);
        let function = self.firing.target.function();
        tracing::warn!(schedule, %scheduled, function, reason, "function {function} did not answer the firing of schedule {schedule} at {scheduled}");
    }
}
