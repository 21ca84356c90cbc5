//! A clock whose time passes only while everything waits for it.

use std::collections::BTreeMap;
use std::collections::btree_map::OccupiedEntry;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use poller::clock::Clock;
use shared::market::Timestamp;
use sqlx::PgPool;
use tokio::sync::watch;

type Event = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Pause between two looks at whether anything is still at work.
const LOOK: Duration = Duration::from_millis(1);
/// How many looks in a row must find nothing at work before time passes.
const LOOKS: u32 = 3;

/// A clock that jumps to the earliest time that something waits for, once the test's runtime has
/// nothing else to do: no connection to Postgres is in use, and the same waits as a moment before
/// are pending. Events happen on the way.
pub(crate) struct JumpingClock {
    now: Mutex<Timestamp>,
    /// Waits for times up to this one have ended. Behind `now` only while an event happens.
    reached: watch::Sender<Timestamp>,
    waits: Mutex<Waits>,
    events: Mutex<BTreeMap<Timestamp, Event>>,
}

#[derive(Debug, Default)]
struct Waits {
    begun: u64,
    pending: BTreeMap<u64, Timestamp>,
}

/// A pending wait, until it ends or is given up.
struct Wait<'a> {
    clock: &'a JumpingClock,
    number: u64,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut waits = self.clock.waits.lock().expect("the waits");
        waits.pending.remove(&self.number);
    }
}

impl fmt::Debug for JumpingClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JumpingClock")
            .field("now", &self.now)
            .field("waits", &self.waits)
            .finish_non_exhaustive()
    }
}

impl JumpingClock {
    /// A clock that stands at `now` while a connection of `pool` is in use.
    pub(crate) fn start(now: Timestamp, pool: &PgPool) -> Arc<Self> {
        let clock = Arc::new(Self {
            now: Mutex::new(now),
            reached: watch::Sender::new(now),
            waits: Mutex::default(),
            events: Mutex::default(),
        });

        let (driven, pool) = (Arc::downgrade(&clock), pool.clone());
        tokio::spawn(async move {
            let (mut idle, mut seen) = (0, None);
            loop {
                tokio::time::sleep(LOOK).await;
                let Some(clock) = driven.upgrade() else {
                    return;
                };

                let state = clock.waiting().filter(|_| is_unused(&pool));
                idle = if state.is_some() && state == seen {
                    idle + 1
                } else {
                    0
                };
                seen = state;
                if let Some((_, until)) = state.filter(|_| idle >= LOOKS) {
                    idle = 0;
                    clock.jump(until).await;
                }
            }
        });
        clock
    }

    pub(crate) fn set(&self, time: Timestamp) {
        let mut now = self.now.lock().expect("the clock");
        *now = time.max(*now);
        self.reached.send_replace(*now);
    }

    /// Runs `event` once the clock reaches `time`. A wait until then ends after it.
    pub(crate) fn happens_at(
        &self,
        time: Timestamp,
        event: impl Future<Output = ()> + Send + 'static,
    ) {
        self.events
            .lock()
            .expect("the events")
            .insert(time, Box::pin(event));
    }

    /// What distinguishes two sets of waits, and the earliest time that is waited for.
    fn waiting(&self) -> Option<((u64, usize), Timestamp)> {
        let waits = self.waits.lock().expect("the waits");
        let earliest = waits.pending.values().min()?;
        Some(((waits.begun, waits.pending.len()), *earliest))
    }

    /// Lets time pass until `time`, or until the first event if that is earlier.
    async fn jump(&self, time: Timestamp) {
        let event = {
            let mut events = self.events.lock().expect("the events");
            events
                .first_entry()
                .filter(|first| *first.key() <= time)
                .map(OccupiedEntry::remove_entry)
        };

        match event {
            Some((when, event)) => {
                {
                    let mut now = self.now.lock().expect("the clock");
                    *now = when.max(*now);
                }
                event.await;
                self.set(when);
            }
            None => self.set(time),
        }
    }
}

/// Whether every open connection is idle.
fn is_unused(pool: &PgPool) -> bool {
    usize::try_from(pool.size()).is_ok_and(|size| size == pool.num_idle())
}

#[async_trait]
impl Clock for JumpingClock {
    fn now(&self) -> Timestamp {
        *self.now.lock().expect("the clock")
    }

    async fn wait_until(&self, time: Timestamp) {
        let mut reached = self.reached.subscribe();

        let number = {
            let mut waits = self.waits.lock().expect("the waits");
            waits.begun += 1;
            let number = waits.begun;
            waits.pending.insert(number, time);
            number
        };
        let _wait = Wait {
            clock: self,
            number,
        };

        // The sender is part of the clock, so it is not gone.
        let _ = reached.wait_for(|reached| *reached >= time).await;
    }
}
