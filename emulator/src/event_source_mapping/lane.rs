//! The records that wait for one invocation slot.
//!
//! AWS's poller runs several invocations at a time, each with partitions of its own, so that the
//! order within a partition is kept. Here each partition belongs to one lane, and a lane has one
//! invocation at a time.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::consumer::Assignment;
use super::open_batch::{OpenBatch, Written};
use super::received::Received;

/// A batch of at most this many records is small: its invocation costs hardly more than that of a
/// single record.
const SMALL: usize = 100;
/// After it has handed over a small batch, a lane gathers until this long has passed. At a load of
/// single records, that saves most invocations, and the database most commits. A lane that has been
/// idle for longer hands over its next record at once.
const GATHER: Duration = Duration::from_millis(4);

/// The receiving end of a lane, which belongs to its invocation slot.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) batches: mpsc::Receiver<OpenBatch>,
    idle: Arc<AtomicBool>,
}

impl Outlet {
    /// Marks the slot as free for the next batch.
    pub(super) fn ready(&self) {
        self.idle.store(true, Ordering::Release);
    }
}

/// The records that were read for one slot and not yet handed over.
#[derive(Debug)]
pub(super) struct Lane {
    batches: mpsc::Sender<OpenBatch>,
    /// Whether the slot is free. A batch is handed over when its window has ended and the slot is
    /// free; until then it grows.
    idle: Arc<AtomicBool>,
    batch_size: usize,
    open: OpenBatch,
    /// When the first record was put into `open`.
    opened: Option<Instant>,
    /// Until when the lane gathers, because the last batch was small.
    gathers_until: Option<Instant>,
    /// Nothing more fits into the open batch.
    complete: bool,
    /// Records that wait for room in a batch, in order.
    carried: VecDeque<Written>,
    blocked_since: Option<Instant>,
    /// Whether the lane's partitions are paused.
    pub(super) paused: bool,
    /// Whether they were paused when the last batch was handed over. If so, the lane is paused
    /// again without waiting.
    slow: bool,
}

impl Lane {
    pub(super) fn new(batch_size: usize) -> (Self, Outlet) {
        let (sender, batches) = mpsc::channel(1);
        let idle = Arc::new(AtomicBool::new(false));
        let outlet = Outlet {
            batches,
            idle: Arc::clone(&idle),
        };

        let lane = Self {
            batches: sender,
            idle,
            batch_size,
            open: OpenBatch::default(),
            opened: None,
            gathers_until: None,
            complete: false,
            carried: VecDeque::new(),
            blocked_since: None,
            paused: false,
            slow: false,
        };

        (lane, outlet)
    }

    /// Takes in a record, after those that wait already.
    pub(super) fn push(&mut self, record: &Received<'_>, epoch: u64, now: Instant) {
        if !self.carried.is_empty() || !self.append(now, |open| open.append(record, epoch)) {
            self.carried.push_back(Written::new(record, epoch));
        }
    }

    /// Returns false if there is no room for the record now.
    fn append(&mut self, now: Instant, append: impl FnOnce(&mut OpenBatch) -> bool) -> bool {
        if self.complete || !append(&mut self.open) {
            self.complete = true;
            return false;
        }

        self.complete = self.open.len() >= self.batch_size;
        self.opened.get_or_insert(now);
        true
    }

    /// Hands over the batch if it is due and the slot is free, and starts the next one with the
    /// carried records.
    pub(super) fn advance(&mut self, window: Duration, now: Instant) {
        let window_over = self
            .window_left(window, now)
            .is_some_and(|left| left.is_zero());
        let due = !self.open.is_empty() && (self.complete || window_over);

        // `due` comes first: the swap takes the slot.
        if due && self.idle.swap(false, Ordering::AcqRel) {
            let is_small = self.open.len() <= SMALL;
            self.gathers_until = is_small.then(|| now + GATHER);

            // A free slot has emptied the channel, so only the mapping's end can make this fail.
            let _closed = self.batches.try_send(mem::take(&mut self.open));
            self.opened = None;
            self.complete = false;
            self.slow = self.paused;
            self.move_up(now);
        }

        self.blocked_since = match self.blocked_since {
            since @ Some(_) if self.is_blocked() => since,
            None if self.is_blocked() => Some(now),
            _ => None,
        };
    }

    fn move_up(&mut self, now: Instant) {
        while let Some(record) = self.carried.pop_front() {
            if !self.append(now, |open| open.append_written(&record)) {
                self.carried.push_front(record);
                break;
            }
        }
    }

    /// Whether it takes no more records: the batch is complete, and others wait behind it.
    pub(super) fn is_blocked(&self) -> bool {
        !self.carried.is_empty()
    }

    /// Whether it has been blocked for this long, or is likely to be.
    pub(super) fn is_blocked_for(&self, long: Duration) -> bool {
        self.blocked_since
            .is_some_and(|since| self.slow || since.elapsed() >= long)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether the slot has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.batches.is_closed()
    }

    /// How long the open batch still gathers: the rest of the batching window, or of the time after
    /// a small batch. `None` if no batch is open.
    pub(super) fn window_left(&self, window: Duration, now: Instant) -> Option<Duration> {
        let window = window.saturating_sub(now.saturating_duration_since(self.opened?));
        let gathers = self
            .gathers_until
            .map(|until| until.saturating_duration_since(now));
        Some(window.max(gathers.unwrap_or_default()))
    }

    /// Drops records of revoked partitions. Their new owner reads them from the committed offset
    /// on.
    pub(super) fn drop_revoked(&mut self, assignment: &Assignment, now: Instant) {
        self.carried
            .retain(|record| assignment.epoch(record.partition) == Some(record.epoch));
        self.open
            .retain(|partition, epoch| assignment.epoch(partition) == Some(epoch));

        if self.open.is_empty() {
            self.opened = None;
            self.complete = false;
            self.move_up(now);
        }
    }

    /// Drops all records; used when no further batch is delivered.
    pub(super) fn clear(&mut self) {
        self.carried.clear();
        self.open = OpenBatch::default();
    }
}

#[cfg(test)]
mod tests;
