//! Gathers records into batches, on a thread of its own: the client's calls block.
//!
//! The thread polls for as long as the mapping lives, so that the group keeps this member however long an invocation
//! takes. When no more records may be taken in, it pauses the partitions and polls on.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::message::{Message, OwnedMessage};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use super::consumer::Consumer;

/// Longest that one poll waits: how soon a stop is noticed.
const POLL: Duration = Duration::from_millis(100);
/// The same while a batch waits for the function to be free.
const POLL_WHILE_WAITING: Duration = Duration::from_millis(2);
/// Pausing throws away what was fetched ahead, so a short wait goes without.
const PAUSE_AFTER: Duration = Duration::from_millis(500);

/// Takes records from Kafka and hands batches over.
pub(super) struct Collector {
    pub(super) consumer: Arc<Consumer>,
    pub(super) batch_size: usize,
    pub(super) batching_window: Duration,
    pub(super) batches: mpsc::Sender<Batch>,
    /// Whether the function is free: then a batch goes as soon as its window ends, else it grows on.
    pub(super) idle: Arc<AtomicBool>,
    pub(super) stop: CancellationToken,
    /// Nothing will be committed any more.
    pub(super) done: CancellationToken,
}

/// Records taken in and not handed over.
#[derive(Debug, Default)]
struct Gathered {
    /// Complete, because no further record fitted.
    full: Option<Batch>,
    open: Batch,
    opened: Option<Instant>,
    /// Records that fit nowhere yet, each with the epoch under which it was read.
    carried: VecDeque<(u64, OwnedMessage)>,
    paused: bool,
    /// The count of the assignment's changes when it was last looked at.
    changes: u64,
}

impl Collector {
    /// Runs until all is done, then leaves the group.
    pub(super) fn run(self) {
        let mut gathered = Gathered::default();
        let mut blocked_since = None;
        while !self.stop.is_cancelled() && !self.batches.is_closed() {
            self.take_in_carried(&mut gathered);
            self.hand_over(&mut gathered);
            if gathered.full.is_some() && (self.is_full(&gathered.open) || !gathered.carried.is_empty()) {
                self.wait_for_room(&mut gathered, *blocked_since.get_or_insert_with(Instant::now));
                continue;
            }
            blocked_since = None;
            self.set_paused(&mut gathered, false);
            self.poll(&mut gathered);
        }
        self.set_paused(&mut gathered, true);
        drop(gathered);
        while !self.done.is_cancelled() {
            self.consumer.poll(POLL);
        }
    }

    fn poll(&self, gathered: &mut Gathered) {
        let mut timeout = self.poll_timeout(gathered);
        // What was fetched already is taken at once; then the batch is looked at.
        loop {
            match self.consumer.poll(timeout) {
                None => break,
                Some(Err(error)) => {
                    self.consumer.context().complain(&error);
                    break;
                }
                Some(Ok(message)) => {
                    self.drop_revoked(gathered);
                    let epoch = self.consumer.context().epoch(message.partition());
                    // A record of a partition that is not held any more is somebody else's.
                    if let Some(epoch) = epoch
                        && !self.append(gathered, &message, epoch)
                    {
                        gathered.carried.push_back((epoch, message.detach()));
                    }
                }
            }
            if gathered.full.is_some() || self.is_full(&gathered.open) {
                break;
            }
            timeout = Duration::ZERO;
        }
        self.drop_revoked(gathered);
    }

    fn poll_timeout(&self, gathered: &Gathered) -> Duration {
        match gathered.opened {
            None => POLL,
            Some(opened) => {
                let left = self.batching_window.saturating_sub(opened.elapsed());
                left.clamp(POLL_WHILE_WAITING, POLL)
            }
        }
    }

    /// False when there is no room for the record now.
    fn append(&self, gathered: &mut Gathered, message: &impl Message, epoch: u64) -> bool {
        if self.is_full(&gathered.open) || !gathered.open.append(message, epoch) {
            if gathered.full.is_some() {
                return false;
            }
            gathered.full = Some(mem::take(&mut gathered.open));
            gathered.open.append(message, epoch);
            gathered.opened = None;
        }
        gathered.opened.get_or_insert_with(Instant::now);
        true
    }

    fn take_in_carried(&self, gathered: &mut Gathered) {
        while let Some((epoch, message)) = gathered.carried.pop_front() {
            if !self.append(gathered, &message, epoch) {
                gathered.carried.push_front((epoch, message));
                break;
            }
        }
    }

    fn is_full(&self, batch: &Batch) -> bool {
        batch.len() >= self.batch_size
    }

    fn hand_over(&self, gathered: &mut Gathered) {
        let window_over = gathered.opened.is_some_and(|opened| opened.elapsed() >= self.batching_window);
        let due = self.is_full(&gathered.open) || (window_over && self.idle.load(Ordering::Acquire));
        if gathered.full.is_none() && due {
            gathered.full = Some(mem::take(&mut gathered.open));
            gathered.opened = None;
        }
        if let Some(batch) = gathered.full.take()
            && let Err(TrySendError::Full(batch)) = self.batches.try_send(batch)
        {
            gathered.full = Some(batch);
        }
    }

    /// Waits a little while for the function to take a batch. The partitions are paused meanwhile if it takes long.
    fn wait_for_room(&self, gathered: &mut Gathered, blocked_since: Instant) {
        if blocked_since.elapsed() < PAUSE_AFTER {
            std::thread::sleep(POLL_WHILE_WAITING);
            return;
        }
        self.set_paused(gathered, true);
        if let Some(Ok(message)) = self.consumer.poll(POLL_WHILE_WAITING * 5)
            && let Some(epoch) = self.consumer.context().epoch(message.partition())
        {
            gathered.carried.push_back((epoch, message.detach()));
        }
        self.drop_revoked(gathered);
    }

    fn set_paused(&self, gathered: &mut Gathered, paused: bool) {
        if mem::replace(&mut gathered.paused, paused) == paused {
            return;
        }
        self.consumer.context().set_paused(paused);
        let changed = self
            .consumer
            .assignment()
            .and_then(|held| if paused { self.consumer.pause(&held) } else { self.consumer.resume(&held) });
        if let Err(error) = changed {
            self.consumer.context().complain(&error);
        }
    }

    /// Forgets records of partitions that were taken away: whoever has them now reads them from the commit on.
    fn drop_revoked(&self, gathered: &mut Gathered) {
        let assignment = self.consumer.context();
        let changes = assignment.changes();
        if mem::replace(&mut gathered.changes, changes) == changes {
            return;
        }
        gathered.carried.retain(|(epoch, message)| assignment.epoch(message.partition()) == Some(*epoch));
        for batch in gathered.full.iter_mut().chain([&mut gathered.open]) {
            batch.retain(|records| assignment.holds(records));
        }
        gathered.full.take_if(|batch| batch.is_empty());
        if gathered.open.is_empty() {
            gathered.opened = None;
        }
    }
}
