//! Fires what is due, and delivers each firing as Lambda's asynchronous invocation does.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Scheduler;
use super::book::Firing;
use super::clock::Timestamp;
use super::payload::payload;
use crate::async_invocation::AsyncInvocation;

/// Firings that a function is working on at once; more wait for one of them to be answered.
const MOST_IN_FLIGHT: usize = 256;
/// Firings under way at once, those that wait for another attempt included. At this limit nothing new is fired.
const MOST_UNDER_WAY: usize = 4_096;

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

    /// True once the function answered without error; false when that will not come. Where the emulator stops, the
    /// firing comes again at the next start.
    async fn deliver(&self) -> bool {
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
        tracing::warn!(schedule, %scheduled, function, reason, "a schedule's firing was not answered");
    }
}
