//! The tails that a writer remembers between batches.

use std::collections::{BTreeSet, HashMap};

use super::fence::Fences;
use super::series::{Key, Series};
use crate::market::{ProviderName, Symbol};

/// Series remembered at most, some 40 MB of them; past it the memory begins anew.
const CAPACITY: usize = 100_000;

/// Series as this writer last stored them, valid while the fences show that nobody else wrote behind them since.
#[derive(Debug, Default)]
pub(super) struct Tails {
    series: HashMap<ProviderName, HashMap<Symbol, Series>>,
    count: usize,
    /// The version that each fence had when this writer last left it.
    fences: Fences,
}

impl Tails {
    /// Forgets the series behind fences that another writer has passed.
    pub(super) fn forget_unless(&mut self, fences: &Fences) {
        let passed =
            |(shard, version): &(&i32, &i64)| self.fences.get(shard).is_some_and(|known| known != *version);
        let stale: BTreeSet<i32> = fences.iter().filter(passed).map(|(shard, _)| *shard).collect();
        if stale.is_empty() {
            return;
        }
        self.count = 0;
        for series in self.series.values_mut() {
            series.retain(|_, series| !stale.contains(&series.shard));
            self.count += series.len();
        }
    }

    /// Takes the series of `keys` out, in their order; what is not known comes out empty, with its key.
    pub(super) fn take<'a>(&mut self, keys: &[Key<'a>]) -> Vec<Slot<'a>> {
        keys.iter()
            .map(|key| {
                let known = self.series.get_mut(key.provider).and_then(|series| series.remove(key.symbol));
                self.count -= usize::from(known.is_some());
                known.map_or(Slot::Unknown(*key), Slot::Known)
            })
            .collect()
    }

    /// Remembers the series of a batch that was committed behind `fences`.
    pub(super) fn keep(&mut self, stored: Vec<Series>, fences: &Fences) {
        if self.count + stored.len() > CAPACITY {
            *self = Self::default();
        }
        self.count += stored.len();
        for mut series in stored {
            series.changed = false;
            if !self.series.contains_key(&series.provider) {
                self.series.insert(series.provider.clone(), HashMap::new());
            }
            if let Some(of_provider) = self.series.get_mut(&series.provider) {
                of_provider.insert(series.symbol.clone(), series);
            }
        }
        self.fences.extend(fences.iter().map(|(shard, version)| (*shard, version + 1)));
    }
}

/// A series of the batch, as far as it is known.
#[derive(Debug)]
pub(super) enum Slot<'a> {
    /// Remembered, and still valid.
    Known(Series),
    /// To be read, or made.
    Unknown(Key<'a>),
}

impl IntoIterator for Slot<'_> {
    type Item = Series;
    type IntoIter = std::option::IntoIter<Series>;

    fn into_iter(self) -> Self::IntoIter {
        match self {
            Self::Known(series) => Some(series),
            Self::Unknown(_) => None,
        }
        .into_iter()
    }
}
