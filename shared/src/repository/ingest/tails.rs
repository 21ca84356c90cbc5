//! The tails that a writer remembers between batches.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::added::Added;
use super::fence::{self, Mark, Marks};
use super::series::{Key, SeriesState, Slot};
use super::units::Units;
use crate::market::{ProviderName, Symbol};

/// Most series remembered, about 40 MB. Beyond it the memory is cleared.
const CAPACITY: usize = 100_000;

/// Series as this writer last stored them, valid while the fences show that no other writer has
/// written behind them since.
#[derive(Debug, Default)]
pub(super) struct Tails {
    series: HashMap<ProviderName, HashMap<Symbol, SeriesState>>,
    count: usize,
    /// The mark that this writer left at each fence when it last passed.
    marks: Marks,
    /// The units that it has seen.
    pub(super) units: Units,
}

impl Tails {
    /// Forgets the series behind fences that another writer has passed.
    ///
    /// `found` are the marks at those fences now.
    pub(super) fn forget_changed(&mut self, found: &Marks) {
        let changed = |(shard, mark): &(&i32, &Mark)| {
            self.marks.get(shard).is_some_and(|known| known != *mark)
        };
        let stale: BTreeSet<i32> = found
            .iter()
            .filter(changed)
            .map(|(shard, _)| *shard)
            .collect();

        if stale.is_empty() {
            return;
        }

        self.count = 0;
        for series in self.series.values_mut() {
            series.retain(|_, series| !stale.contains(&series.shard));
            self.count += series.len();
        }
    }

    /// The marks that this writer left at the fences of `shards`; `None` unless it has passed all
    /// of them.
    pub(super) fn marks(&self, shards: &[i32]) -> Option<Marks> {
        shards
            .iter()
            .map(|shard| Some((*shard, *self.marks.get(shard)?)))
            .collect()
    }

    /// Takes the series of `keys` out of the memory, in their order. A series that is not
    /// remembered is returned as [`Slot::Unknown`].
    pub(super) fn take<'a>(&mut self, keys: &[Key<'a>]) -> Vec<Slot<'a>> {
        keys.iter()
            .map(|key| {
                let known = self
                    .series
                    .get_mut(key.provider)
                    .and_then(|series| series.remove(key.symbol));
                self.count -= usize::from(known.is_some());
                known.map_or(Slot::Unknown(*key), Slot::Known)
            })
            .collect()
    }

    /// Remembers the series of a batch that was committed with this token, behind fences that had
    /// the marks `found`.
    pub(super) fn keep(&mut self, stored: Vec<SeriesState>, found: &Marks, token: Uuid) {
        if self.count + stored.len() > CAPACITY {
            *self = Self::default();
        }

        self.put_back(stored.into_iter().map(|series| SeriesState {
            changed: false,
            added: Added::default(),
            ..series
        }));
        self.marks.extend(fence::passed(found, token));
    }

    /// Puts series into the memory unchanged.
    pub(super) fn put_back(&mut self, taken: impl IntoIterator<Item = SeriesState>) {
        for series in taken {
            self.count += 1;
            if !self.series.contains_key(&series.provider) {
                self.series.insert(series.provider.clone(), HashMap::new());
            }
            if let Some(of_provider) = self.series.get_mut(&series.provider) {
                of_provider.insert(series.symbol.clone(), series);
            }
        }
    }
}
