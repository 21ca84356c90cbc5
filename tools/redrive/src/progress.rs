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
mod tests {
    use super::*;

    fn of(done: &[i64]) -> Progress {
        let mut progress = Progress::from(10);
        done.iter().for_each(|offset| progress.done(*offset));
        progress
    }

    #[test]
    fn what_is_done_without_a_gap_moves_the_offset_and_the_rest_stands_in_ranges() {
        let progress = of(&[10, 12, 14, 13, 11, 20, 17, 18]);

        assert_eq!(
            (progress.next(), progress.metadata().as_str()),
            (15, "17-18,20-20")
        );

        let held: Vec<i64> = (0..25)
            .filter(|offset| !progress.contains(*offset))
            .collect();
        assert_eq!(held, [15, 16, 19, 21, 22, 23, 24]);
    }

    #[test]
    fn it_reads_back_as_it_was_committed() {
        let progress = of(&[12, 13, 20]);
        assert_eq!(
            Progress::read(progress.next(), &progress.metadata()),
            progress
        );
        assert_eq!(Progress::read(10, "not ours, 3-x"), Progress::from(10));
    }

    #[test]
    fn metadata_stays_within_kafka_s_limit_by_forgetting_the_latest_ranges() {
        let progress = of(&(0..2_000)
            .map(|number| 100 + 2 * number)
            .collect::<Vec<_>>());

        let metadata = progress.metadata();
        assert!(metadata.len() <= MAX_METADATA && metadata.len() > MAX_METADATA - 20);

        let read = Progress::read(progress.next(), &metadata);
        assert!(read.contains(100) && !read.contains(101));
    }
}
