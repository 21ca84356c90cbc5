//! What a batch adds to the points of a series, for the totals in its row.

use crate::market::Timestamp;

/// Points that a batch adds to a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Added {
    /// Their number.
    pub(super) count: i64,
    /// The time of the earliest of them.
    pub(super) earliest: Option<Timestamp>,
}

impl Added {
    /// Adds points, the earliest of which is of this time.
    pub(super) fn add(&mut self, count: i64, earliest: Timestamp) {
        self.count += count;
        self.earliest = Some(self.earliest.map_or(earliest, |known| known.min(earliest)));
    }
}
