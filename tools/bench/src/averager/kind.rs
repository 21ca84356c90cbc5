//! The contenders by name.

use std::fmt;

/// The contenders, in the order of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Only decodes the batch.
    Decode,
    /// COPY in binary form, one for each batch.
    Copy,
    /// One INSERT of arrays for each batch.
    Unnest,
    /// The averager's own code, as it is in the function.
    Averager,
    /// For each event: selects the last five points, inserts one, and updates the newest.
    Naive,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [
        Self::Decode,
        Self::Copy,
        Self::Unnest,
        Self::Averager,
        Self::Naive,
    ];

    /// Whether it accepts a quote that was sent before.
    pub(super) fn takes_repeats(self) -> bool {
        !matches!(self, Self::Copy | Self::Unnest)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Decode => "decoding",
            Self::Copy => "COPY",
            Self::Unnest => "UNNEST",
            Self::Averager => "the averager",
            Self::Naive => "the per-event way",
        })
    }
}
