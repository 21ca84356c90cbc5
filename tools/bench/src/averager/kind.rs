//! The contenders by name.

use std::fmt;

/// The contenders, in the order of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Decoding and nothing else.
    Decode,
    /// Binary COPY.
    Copy,
    /// One INSERT of arrays for each batch.
    Unnest,
    /// The averager's own code.
    Averager,
    /// Select the last five, insert, upsert: for each event.
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

    /// Whether it stands a quote that comes again.
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
