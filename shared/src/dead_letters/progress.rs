//! The progress of earlier runs, as it is in a committed offset: all letters before the offset are
//! done and, since letters may be selected by reason, ranges after it are in the offset's metadata.

use std::collections::BTreeMap;
use std::fmt;

/// Kafka's default limit on the metadata of an offset, in bytes.
const MAX_METADATA: usize = 4096;

/// The offsets of a partition that are done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// All offsets before this one are done.
    next: i64,
    /// Later offsets that are done, as separate ranges: from the first offset to the one after the
    /// last.
    ranges: BTreeMap<i64, i64>,
}

impl Progress {
    /// No offset from `first` on is done.
    #[must_use]
    pub fn from(first: i64) -> Self {
        Self {
            next: first,
            ranges: BTreeMap::new(),
        }
    }

    /// The progress that was committed. Metadata in another format is ignored.
    #[must_use]
    pub fn read(next: i64, metadata: &str) -> Self {
        let mut progress = Self::from(next);
        for range in metadata.split(',') {
            let ends = range
                .split_once('-')
                .map(|(first, last)| (first.parse(), last.parse::<i64>()));
            let Some((Ok(first), Ok(last))) = ends else {
                continue;
            };

            let (after, begun) = (
                progress.ranges.values().max().copied().unwrap_or(next),
                next < first,
            );
            if begun && after < first && first <= last && last < i64::MAX {
                progress.ranges.insert(first, last + 1);
            }
        }

        progress
    }

    /// The first offset that is not done.
    #[must_use]
    pub fn next(&self) -> i64 {
        self.next
    }

    /// Whether the letter at `offset` is done.
    #[must_use]
    pub fn contains(&self, offset: i64) -> bool {
        offset < self.next
            || self
                .ranges
                .range(..=offset)
                .next_back()
                .is_some_and(|(_, end)| offset < *end)
    }

    /// Records that the letter at `offset` is done.
    pub fn done(&mut self, offset: i64) {
        if self.contains(offset) {
            return;
        }

        let joined = self
            .ranges
            .range(..=offset)
            .next_back()
            .filter(|(_, end)| **end == offset);

        let start = joined.map_or(offset, |(start, _)| *start);
        let end = self.ranges.remove(&(offset + 1)).unwrap_or(offset + 1);
        self.ranges.insert(start, end);

        while let Some(end) = self.ranges.remove(&self.next) {
            self.next = end;
        }
    }

    /// The ranges for the offset's metadata. Ranges that do not fit are omitted: their letters may
    /// be sent again, which does not change what is stored.
    #[must_use]
    pub fn metadata(&self) -> String {
        let mut text = self.to_string();
        if text.len() > MAX_METADATA {
            let end = text[..=MAX_METADATA].rfind(',').unwrap_or(0);
            text.truncate(end);
        }

        text
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (start, end)) in self.ranges.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{start}-{}", end - 1)?;
        }

        Ok(())
    }
}

#[cfg(test)]
mod tests;
