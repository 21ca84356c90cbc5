//! Reads records into lanes, on a thread of its own: the client's calls block.
//!
//! The thread polls for as long as the mapping lives, so that the group keeps this member however long an invocation
//! takes. Where a lane may take in no more records, its partitions are paused and the others polled on.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::message::Message as _;
use tokio_util::sync::CancellationToken;

use super::consumer::Consumer;
use super::lane::{Lane, Outlet};
use super::partitions::{lane_of, only};
use super::received::Received;

/// Longest that one poll waits: how soon a stop is noticed.
const POLL: Duration = Duration::from_millis(100);
/// The same while records wait for their slot to be free.
const POLL_WHILE_WAITING: Duration = Duration::from_millis(1);
/// Pausing throws away what was fetched ahead, so a short wait goes without.
const PAUSE_AFTER: Duration = Duration::from_millis(500);
/// Records that are taken in at a time, before the batches are looked at.
const MOST_AT_A_TIME: usize = 1_000;

/// Takes records from Kafka and hands batches over.
pub(super) struct Collector {
    consumer: Arc<Consumer>,
    batching_window: Duration,
    lanes: Vec<Lane>,
    /// The count of the assignment's changes when it was last looked at.
    changes: u64,
    /// Cancelled from here when the client cannot go on.
    stop: CancellationToken,
    /// Nothing will be committed any more.
    done: CancellationToken,
}

impl Collector {
    /// A collector, and where the batches of each of its lanes come out.
    pub(super) fn new(
        consumer: Arc<Consumer>,
        lanes: usize,
        batch_size: usize,
        batching_window: Duration,
        stop: CancellationToken,
        done: CancellationToken,
    ) -> (Self, Vec<Outlet>) {
        let (lanes, outlets) = (0..lanes.max(1)).map(|_| Lane::new(batch_size)).unzip();
        (
            Self {
                consumer,
                batching_window,
                lanes,
                changes: 0,
                stop,
                done,
            },
            outlets,
        )
    }

    /// Runs until all is done, then leaves the group.
    pub(super) fn run(mut self) {
        while !self.stop.is_cancelled() && !self.lanes.iter().all(Lane::is_closed) {
            self.consumer.context().turn();
            self.lanes
                .iter_mut()
                .for_each(|lane| lane.advance(self.batching_window));
            self.resume();
            if self
                .lanes
                .iter()
                .any(|lane| lane.is_blocked() && !lane.paused)
            {
                self.wait_for_room();
            } else {
                self.poll();
            }
            if let Some((_, reason)) = self.consumer.client().fatal_error() {
                tracing::warn!(reason, "Kafka has shut the consumer out");
                self.stop.cancel();
            }
        }
        self.lanes.iter_mut().for_each(Lane::clear);
        (0..self.lanes.len()).for_each(|lane| self.set_paused(lane, true));
        while !self.done.is_cancelled() {
            self.consumer.poll(POLL);
        }
    }

    /// Takes in what was fetched already at once; then the batches are looked at.
    fn poll(&mut self) {
        let mut timeout = self.poll_timeout();
        let consumer = Arc::clone(&self.consumer);
        for _ in 0..MOST_AT_A_TIME {
            let Some(polled) = consumer.poll(timeout) else {
                break;
            };
            self.drop_revoked();
            // What went wrong the context was told already.
            let Ok(message) = polled else { break };
            // A record of a partition that is not held any more is somebody else's.
            if let Some(epoch) = consumer.context().epoch(message.partition()) {
                let lane = lane_of(message.partition(), self.lanes.len());
                self.lanes[lane].push(&Received::new(&message), epoch);
                if self.lanes[lane].is_complete() {
                    break;
                }
            }
            timeout = Duration::ZERO;
        }
        self.drop_revoked();
    }

    fn poll_timeout(&self) -> Duration {
        let next = self
            .lanes
            .iter()
            .filter_map(|lane| lane.window_left(self.batching_window))
            .min();
        next.map_or(POLL, |left| left.clamp(POLL_WHILE_WAITING, POLL))
    }

    /// Waits a little while for a slot to be free; lanes that are blocked for long are paused.
    fn wait_for_room(&mut self) {
        std::thread::sleep(POLL_WHILE_WAITING);
        for lane in 0..self.lanes.len() {
            if self.lanes[lane].is_blocked_for(PAUSE_AFTER) {
                self.set_paused(lane, true);
            }
        }
    }

    /// Reads on for lanes that have room again.
    fn resume(&mut self) {
        for lane in 0..self.lanes.len() {
            if !self.lanes[lane].is_blocked() {
                self.set_paused(lane, false);
            }
        }
    }

    fn set_paused(&mut self, lane: usize, paused: bool) {
        if mem::replace(&mut self.lanes[lane].paused, paused) == paused {
            return;
        }
        let (consumer, lanes) = (&self.consumer, self.lanes.len());
        consumer
            .context()
            .set_paused(self.lanes.iter().map(|lane| lane.paused).collect());
        let changed = consumer.assignment().and_then(|held| {
            let of_lane = only(&held, |partition| lane_of(partition, lanes) == lane);
            if paused {
                consumer.pause(&of_lane)
            } else {
                consumer.resume(&of_lane)
            }
        });
        if let Err(error) = changed {
            consumer.context().complain(&error);
        }
    }

    fn drop_revoked(&mut self) {
        let assignment = self.consumer.context();
        let changes = assignment.changes();
        if mem::replace(&mut self.changes, changes) != changes {
            for lane in &mut self.lanes {
                lane.drop_revoked(assignment);
                // The revocation ended all pauses.
                lane.paused = false;
            }
        }
    }
}
