//! Decides what to invoke next: the retries, splits and dead letters of one batch, without Kafka
//! and without a clock.
//!
//! Records are known by their place in the batch. Parts are resolved one after another in the
//! batch's order. This keeps the order within a partition. It also means that while nothing
//! succeeds, for example because a database is unavailable, only the first part uses up its
//! attempts.

use std::collections::VecDeque;
use std::time::Duration;

/// Wait after the first failure of a part; it doubles from there.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// When a failed batch is split, and when its records are discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RetryLimits {
    /// Attempts after the first, or `None` for no limit.
    pub(super) max_retry_attempts: Option<u32>,
    /// Whether a function error splits what was tried in two.
    pub(super) bisect_on_error: bool,
}

/// Why records go to the on-failure destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    RetriesExhausted,
    RecordAgeExceeded,
    MaximumPayloadSizeExceeded,
}

impl Condition {
    /// The value of `condition` in the dead letter.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::RetriesExhausted => "RetriesExhausted",
            Self::RecordAgeExceeded => "RecordAgeExceeded",
            Self::MaximumPayloadSizeExceeded => "MaximumPayloadSizeExceeded",
        }
    }
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// Wait, then invoke the function with these records.
    Invoke {
        records: &'a [usize],
        wait: Duration,
    },
    /// Send these records to the on-failure destination.
    Discard {
        records: &'a [usize],
        condition: Condition,
        attempts: u32,
    },
    /// Every record is resolved.
    Done,
}

/// Records that are tried together.
#[derive(Debug)]
struct Part {
    /// Their places in the batch, ascending.
    records: Vec<usize>,
    /// Failed attempts of exactly these records.
    failures: u32,
    wait: Duration,
    discarded: Option<Condition>,
}

impl Part {
    fn new(records: Vec<usize>, wait: Duration) -> Self {
        Self {
            records,
            failures: 0,
            wait,
            discarded: None,
        }
    }
}

/// The unresolved records of one batch.
#[derive(Debug)]
pub(super) struct RetryPlan {
    parts: VecDeque<Part>,
    limits: RetryLimits,
}

impl RetryPlan {
    /// A plan for a batch of `count` records.
    pub(super) fn new(count: usize, limits: RetryLimits) -> Self {
        let mut plan = Self {
            parts: VecDeque::from([Part::new((0..count).collect(), Duration::ZERO)]),
            limits,
        };
        plan.drop_empty();
        plan
    }

    pub(super) fn step(&self) -> Step<'_> {
        match self.parts.front() {
            None => Step::Done,
            Some(Part {
                records,
                failures,
                discarded: Some(condition),
                ..
            }) => Step::Discard {
                records,
                condition: *condition,
                attempts: *failures,
            },
            Some(Part { records, wait, .. }) => Step::Invoke {
                records,
                wait: *wait,
            },
        }
    }

    /// The current step succeeded: its records are processed or have become dead letters.
    pub(super) fn resolved(&mut self) {
        self.parts.pop_front();
    }

    /// The function failed on the current step's records. A split uses up no attempt, and the
    /// halves have attempts of their own.
    pub(super) fn failed(&mut self) {
        let Some(mut part) = self.parts.pop_front() else {
            return;
        };

        if self.limits.bisect_on_error && part.records.len() > 1 {
            let second = part.records.split_off(part.records.len().div_ceil(2));
            // The first half is pushed last, because it is tried first.
            self.parts.push_front(Part::new(second, Duration::ZERO));
            self.parts.push_front(Part::new(part.records, FIRST_WAIT));
            return;
        }

        part.failures = part.failures.saturating_add(1);
        part.wait = if part.failures == 1 {
            FIRST_WAIT
        } else {
            LONGEST_WAIT.min(part.wait * 2)
        };

        if self
            .limits
            .max_retry_attempts
            .is_some_and(|most| part.failures > most)
        {
            part.discarded = Some(Condition::RetriesExhausted);
        }

        self.parts.push_front(part);
    }

    /// The function processed the current step's records except `failed`: some of them, ascending.
    pub(super) fn partly_failed(&mut self, failed: Vec<usize>) {
        debug_assert!(failed.is_sorted(), "failed records are ascending");

        let Some(part) = self.parts.front() else {
            return;
        };

        if failed == part.records {
            return self.failed();
        }

        self.parts.pop_front();
        if !failed.is_empty() {
            self.parts.push_front(Part::new(failed, FIRST_WAIT));
        }
    }

    /// Discards those records of the current step that `meant` selects, before any further attempt.
    pub(super) fn discard(&mut self, condition: Condition, meant: impl Fn(usize) -> bool) {
        let Some(part) = self
            .parts
            .front_mut()
            .filter(|part| part.discarded.is_none())
        else {
            return;
        };

        let (discarded, kept): (Vec<usize>, Vec<usize>) =
            part.records.iter().partition(|record| meant(**record));
        if discarded.is_empty() {
            return;
        }

        let failures = part.failures;
        part.records = kept;
        self.parts.push_front(Part {
            discarded: Some(condition),
            failures,
            ..Part::new(discarded, Duration::ZERO)
        });
        self.drop_empty();
    }

    /// Drops records that this member no longer has to process.
    pub(super) fn retain(&mut self, ours: impl Fn(usize) -> bool) {
        for part in &mut self.parts {
            part.records.retain(|record| ours(*record));
        }
        self.drop_empty();
    }

    /// The first record of `range` that is not resolved yet.
    pub(super) fn first_unresolved(&self, range: &std::ops::Range<usize>) -> Option<usize> {
        let first_of = |part: &Part| {
            let place = part.records.partition_point(|record| *record < range.start);
            part.records
                .get(place)
                .copied()
                .filter(|record| range.contains(record))
        };

        self.parts.iter().filter_map(first_of).min()
    }

    fn drop_empty(&mut self) {
        self.parts.retain(|part| !part.records.is_empty());
    }
}

/// Waits that double up to [`LONGEST_WAIT`], for actions that are repeated until they succeed.
///
/// They are computed by hand because this file compiles without any crate, so that
/// `tools/mutants/run` can try every mutant of it.
#[derive(Debug, Default)]
pub(super) struct Backoff(Option<Duration>);

impl Backoff {
    pub(super) fn next(&mut self) -> Duration {
        let wait = self.0.map_or(FIRST_WAIT, |wait| LONGEST_WAIT.min(wait * 2));
        self.0 = Some(wait);
        wait
    }
}

#[cfg(test)]
mod tests;
