//! A log of price events in memory, for tests, with a backlog that tests set.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use shared::dead_letters::DeadLetterError;
use shared::dead_letters::port::{DeadLetters, Redriven, Selection};
use shared::price_event::PriceEvent;
use shared::price_log::backlog::{Backlog, PartitionBacklog};
use shared::price_log::{PriceLog, PublishError, Record};

/// Keeps the appended events, and fails on request.
#[derive(Debug, Default)]
pub struct MemoryPriceLog {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<PriceEvent>,
    records: Vec<Record>,
    backlog: Vec<PartitionBacklog>,
    letters: Redriven,
    selections: Vec<Selection>,
    failures: usize,
}

impl MemoryPriceLog {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All events appended so far, in order.
    #[must_use]
    pub fn events(&self) -> Vec<PriceEvent> {
        self.state().events.clone()
    }

    /// All records appended so far as they were, in order.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.state().records.clone()
    }

    /// Makes the next `count` events fail. [`PriceLog::check`] fails, too, until they have.
    pub fn fail_next(&self, count: usize) {
        self.state().failures = count;
    }

    /// Sets what [`Backlog::read`] returns from now on.
    pub fn set_backlog(&self, backlog: Vec<PartitionBacklog>) {
        self.state().backlog = backlog;
    }

    /// Sets what [`DeadLetters::redrive`] returns from now on.
    pub fn set_letters(&self, letters: Redriven) {
        self.state().letters = letters;
    }

    /// The selections of dead letters so far, in order.
    #[must_use]
    pub fn selections(&self) -> Vec<Selection> {
        self.state().selections.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl PriceLog for MemoryPriceLog {
    async fn append(&self, events: &[PriceEvent]) -> Vec<Result<(), PublishError>> {
        let mut state = self.state();
        let mut append_one = |event: &PriceEvent| {
            if state.failures > 0 {
                state.failures -= 1;
                return Err(PublishError::NotAcknowledged("told to fail".to_owned()));
            }
            state.events.push(event.clone());
            Ok(())
        };

        events.iter().map(&mut append_one).collect()
    }

    async fn append_records(&self, records: &[Record]) -> Vec<Result<(), PublishError>> {
        let mut state = self.state();
        let mut append_one = |record: &Record| {
            if state.failures > 0 {
                state.failures -= 1;
                return Err(PublishError::NotAcknowledged("told to fail".to_owned()));
            }
            state.records.push(record.clone());
            Ok(())
        };

        records.iter().map(&mut append_one).collect()
    }

    fn topic(&self) -> &str {
        "price-events"
    }

    async fn check(&self, _timeout: Duration) -> Result<(), PublishError> {
        if self.state().failures > 0 {
            return Err(PublishError::Unavailable("told to fail".to_owned()));
        }
        Ok(())
    }
}

#[async_trait]
impl Backlog for MemoryPriceLog {
    async fn read(&self, timeout: Duration) -> Result<Vec<PartitionBacklog>, PublishError> {
        self.check(timeout).await?;
        Ok(self.state().backlog.clone())
    }
}

#[async_trait]
impl DeadLetters for MemoryPriceLog {
    async fn redrive(&self, selection: &Selection) -> Result<Redriven, DeadLetterError> {
        let mut state = self.state();
        if state.failures > 0 {
            state.failures -= 1;
            return Err(DeadLetterError::Silent(1));
        }
        state.selections.push(selection.clone());
        Ok(state.letters.clone())
    }
}
