//! The records that wait for one invocation slot.
//!
//! AWS's poller runs several invocations at a time, each with other partitions than the rest, so that the order
//! within a partition holds. Here each partition belongs to one lane, and a lane has one invocation at a time.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::consumer::Assignment;
use super::open_batch::{OpenBatch, Written};
use super::received::Received;

/// The end of a lane at which batches come out.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) batches: mpsc::Receiver<OpenBatch>,
    idle: Arc<AtomicBool>,
}

impl Outlet {
    /// Whoever takes the batches is free for the next one.
    pub(super) fn ready(&self) {
        self.idle.store(true, Ordering::Release);
    }
}

/// What was taken in for one slot and not handed over.
#[derive(Debug)]
pub(super) struct Lane {
    batches: mpsc::Sender<OpenBatch>,
    /// Whether the slot is free: then a batch goes as soon as its window ends, else it grows on.
    idle: Arc<AtomicBool>,
    batch_size: usize,
    open: OpenBatch,
    opened: Option<Instant>,
    /// Nothing more fits into the open batch.
    complete: bool,
    /// Records that fit nowhere yet.
    carried: VecDeque<Written>,
    blocked_since: Option<Instant>,
    /// Whether its partitions are paused.
    pub(super) paused: bool,
    /// Whether they had to be before its last batch: then they are again without waiting.
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
            complete: false,
            carried: VecDeque::new(),
            blocked_since: None,
            paused: false,
            slow: false,
        };
        (lane, outlet)
    }

    /// Takes in a record, behind those that wait already.
    pub(super) fn push(&mut self, record: &Received<'_>, epoch: u64) {
        if !self.carried.is_empty() || !self.append(|open| open.append(record, epoch)) {
            self.carried.push_back(Written::new(record, epoch));
        }
    }

    /// False when there is no room for the record now.
    fn append(&mut self, append: impl FnOnce(&mut OpenBatch) -> bool) -> bool {
        if self.complete || !append(&mut self.open) {
            self.complete = true;
            return false;
        }
        self.complete = self.open.len() >= self.batch_size;
        self.opened.get_or_insert_with(Instant::now);
        true
    }

    /// Hands the batch over if it is due and the slot is free, and moves up what was carried.
    pub(super) fn advance(&mut self, window: Duration) {
        let window_over = self.opened.is_some_and(|opened| opened.elapsed() >= window);
        let due = !self.open.is_empty() && (self.complete || window_over);
        if due && self.idle.swap(false, Ordering::AcqRel) {
            // Only the end of the mapping closes the channel, and a free slot has taken what was in it.
            let _closed = self.batches.try_send(mem::take(&mut self.open));
            self.opened = None;
            self.complete = false;
            self.slow = self.paused;
            self.move_up();
        }
        self.blocked_since = match self.blocked_since {
            since @ Some(_) if self.is_blocked() => since,
            None if self.is_blocked() => Some(Instant::now()),
            _ => None,
        };
    }

    fn move_up(&mut self) {
        while let Some(record) = self.carried.pop_front() {
            if !self.append(|open| open.append_written(&record)) {
                self.carried.push_front(record);
                break;
            }
        }
    }

    /// Whether it takes no more: the batch is complete, and there are records behind it.
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

    /// Whether nobody takes batches any more.
    pub(super) fn is_closed(&self) -> bool {
        self.batches.is_closed()
    }

    /// What is left of the batching window; none if no batch is open.
    pub(super) fn window_left(&self, window: Duration) -> Option<Duration> {
        self.opened
            .map(|opened| window.saturating_sub(opened.elapsed()))
    }

    /// Forgets records of partitions that were taken away: whoever has them now reads them from the commit on.
    pub(super) fn drop_revoked(&mut self, assignment: &Assignment) {
        self.carried
            .retain(|record| assignment.epoch(record.partition) == Some(record.epoch));
        self.open
            .retain(|partition, epoch| assignment.epoch(partition) == Some(epoch));
        if self.open.is_empty() {
            self.opened = None;
            self.complete = false;
            self.move_up();
        }
    }

    /// Forgets everything, when no more is delivered.
    pub(super) fn clear(&mut self) {
        self.carried.clear();
        self.open = OpenBatch::default();
    }
}
