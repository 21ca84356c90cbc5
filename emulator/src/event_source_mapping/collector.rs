//! Reads records into lanes, on a thread of its own because the client's calls block.
//!
//! The thread polls for as long as the mapping lives, so that the group keeps this member however
//! long an invocation takes. If a lane has no room for more records, its partitions are paused and
//! the others are still polled.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::message::Message as _;
use tokio_util::sync::CancellationToken;

use super::consumer::Consumer;
use super::lane::{Lane, Outlet};
use super::partitions::{lane_of, only};
use super::received::Received;

/// Longest wait of one poll, which limits how late a stop is noticed.
const POLL: Duration = Duration::from_millis(100);
/// Shortest poll while a batching window runs, and the sleep between looks at a blocked lane.
const POLL_WHILE_WAITING: Duration = Duration::from_millis(1);
/// A lane is paused after it was blocked for this long. Pausing discards what was fetched ahead, so
/// a shorter wait goes without.
const PAUSE_AFTER: Duration = Duration::from_millis(500);
/// Most records that are taken in before the lanes hand over their batches.
const MOST_AT_A_TIME: usize = 1_000;

/// Reads records from Kafka into the lanes, which hand over batches.
pub(super) struct Collector {
    consumer: Arc<Consumer>,
    batching_window: Duration,
    lanes: Vec<Lane>,
    /// The assignment's count of changes when revoked records were last dropped.
    changes: u64,
    /// Cancelled by the collector, too, when the client meets a fatal error.
    reader_end: CancellationToken,
    /// Cancelled when nothing more will be committed.
    commits_end: CancellationToken,
}

impl Collector {
    /// Creates the collector, and the outlet of each of its lanes.
    pub(super) fn new(
        consumer: Arc<Consumer>,
        lanes: usize,
        batch_size: usize,
        batching_window: Duration,
        reader_end: CancellationToken,
        commits_end: CancellationToken,
    ) -> (Self, Vec<Outlet>) {
        let (lanes, outlets) = (0..lanes.max(1)).map(|_| Lane::new(batch_size)).unzip();
        (
            Self {
                consumer,
                batching_window,
                lanes,
                changes: 0,
                reader_end,
                commits_end,
            },
            outlets,
        )
    }

    /// Reads until `reader_end`, polls until `commits_end`, then drops the consumer, which leaves
    /// the group.
    pub(super) fn run(mut self) {
        while !self.reader_end.is_cancelled() && !self.lanes.iter().all(Lane::is_closed) {
            self.consumer.context().turn();

            // Lanes advance before they resume: only handing over a batch makes room.
            let now = Instant::now();
            self.lanes
                .iter_mut()
                .for_each(|lane| lane.advance(self.batching_window, now));
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
                tracing::warn!(reason, "fatal consumer error");
                self.reader_end.cancel();
            }
        }

        // Batches in flight are still to be committed, so polls continue to keep the membership.
        // Paused partitions deliver no further records.
        self.lanes.iter_mut().for_each(Lane::clear);
        (0..self.lanes.len()).for_each(|lane| self.set_paused(lane, true));

        while !self.commits_end.is_cancelled() {
            self.consumer.poll(POLL);
        }
    }

    /// Takes in what was already fetched, after at most `poll_timeout`.
    fn poll(&mut self) {
        let mut timeout = self.poll_timeout();
        let consumer = Arc::clone(&self.consumer);

        for _ in 0..MOST_AT_A_TIME {
            let Some(polled) = consumer.poll(timeout) else {
                break;
            };

            // A poll may run a rebalance. What was revoked is dropped before the next record is
            // taken in, because a batch knows one epoch for each partition.
            self.drop_revoked();

            // The client has already reported the error to the context.
            let Ok(message) = polled else { break };

            // A record of a partition that is not held belongs to another member.
            if let Some(epoch) = consumer.context().epoch(message.partition()) {
                let lane = lane_of(message.partition(), self.lanes.len());
                self.lanes[lane].push(&Received::new(&message), epoch, Instant::now());
                if self.lanes[lane].is_complete() {
                    break;
                }
            }

            timeout = Duration::ZERO;
        }

        // The last poll may have run a rebalance without returning a record.
        self.drop_revoked();
    }

    fn poll_timeout(&self) -> Duration {
        let now = Instant::now();
        let next = self
            .lanes
            .iter()
            .filter_map(|lane| lane.window_left(self.batching_window, now))
            .min();
        next.map_or(POLL, |left| left.clamp(POLL_WHILE_WAITING, POLL))
    }

    /// Sleeps until a slot may be free, and pauses lanes that have been blocked for long.
    fn wait_for_room(&mut self) {
        std::thread::sleep(POLL_WHILE_WAITING);

        for lane in 0..self.lanes.len() {
            if self.lanes[lane].is_blocked_for(PAUSE_AFTER) {
                self.set_paused(lane, true);
            }
        }
    }

    /// Resumes lanes that have room again.
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

    /// Drops records of partitions that were revoked since the last call.
    fn drop_revoked(&mut self) {
        let assignment = self.consumer.context();
        let changes = assignment.changes();

        if mem::replace(&mut self.changes, changes) != changes {
            for lane in &mut self.lanes {
                lane.drop_revoked(assignment, Instant::now());
                // The revocation has resumed all partitions.
                lane.paused = false;
            }
        }
    }
}
