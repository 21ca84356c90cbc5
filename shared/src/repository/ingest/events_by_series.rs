//! A batch of events grouped by series.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::series::{Key, SeriesState};
use super::{Indexed, rank};
use crate::market::{Currency, Timestamp};
use crate::price_event::PriceEvent;

/// Events with the index of their series among the keys.
#[derive(Debug)]
pub(super) struct EventsBySeries<'a> {
    keys: Vec<Key<'a>>,
    /// The distinct units of the events.
    currencies: Vec<Currency>,
    events: Indexed<'a>,
}

impl<'a> EventsBySeries<'a> {
    pub(super) fn of(events: impl ExactSizeIterator<Item = &'a PriceEvent>) -> Self {
        let mut keys = Vec::new();
        let (mut currencies, mut last) = (HashSet::new(), None);
        let mut indices = HashMap::with_capacity(events.len());

        let events = events
            .map(|event| {
                let index = *indices
                    .entry((&event.symbol, &event.provider))
                    .or_insert_with(|| {
                        keys.push(Key::new(&event.symbol, &event.provider));
                        keys.len() - 1
                    });
                // Neighbours mostly have the same unit: comparing is cheaper than hashing.
                if last != Some(&event.currency) {
                    currencies.extend(event.currency.clone());
                    last = Some(&event.currency);
                }
                (index, event)
            })
            .collect();

        Self {
            keys,
            currencies: currencies.into_iter().collect(),
            events,
        }
    }

    pub(super) fn keys(&self) -> &[Key<'a>] {
        &self.keys
    }

    pub(super) fn currencies(&self) -> &[Currency] {
        &self.currencies
    }

    /// The fences of all series, in locking order.
    pub(super) fn shards(&self) -> Vec<i32> {
        self.keys
            .iter()
            .map(|key| key.shard)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }

    /// Removes the events of quotes before `oldest`, whose partitions were dropped, and the series
    /// that have no other events. Returns the number of removed events.
    pub(super) fn expire(&mut self, oldest: Option<Timestamp>) -> usize {
        let Some(oldest) = oldest else { return 0 };
        let before = self.events.len();

        self.events.retain(|(_, event)| event.timestamp >= oldest);
        let expired = before - self.events.len();

        if expired > 0 {
            *self = Self::of(
                std::mem::take(&mut self.events)
                    .into_iter()
                    .map(|(_, event)| event),
            );
        }
        expired
    }

    /// Sorts the series by id, and gives their events the new indices. Written in this order, the
    /// rows of a series lie together, and the index is walked once.
    pub(super) fn sort_by_series_id(&mut self, series: &mut [SeriesState]) {
        debug_assert_eq!(series.len(), self.keys.len(), "every key has its series");

        let places = sort_by_id(series);
        for (index, _) in &mut self.events {
            *index = places[*index];
        }
    }

    /// Takes the events out, sorted by series and quote time. Of several answers for one quote,
    /// only the one polled last is returned.
    pub(super) fn take_newest_answers(&mut self) -> Indexed<'a> {
        let mut events = std::mem::take(&mut self.events);

        // The greatest rank comes first, and `dedup_by` keeps the first.
        events.sort_unstable_by(|(a, left), (b, right)| {
            (a, left.timestamp)
                .cmp(&(b, right.timestamp))
                .then_with(|| rank(right).cmp(&rank(left)))
        });
        events.dedup_by(|(a, left), (b, right)| a == b && left.timestamp == right.timestamp);
        events
    }
}

/// Sorts the series by id, and returns the new place of each.
fn sort_by_id(series: &mut [SeriesState]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..series.len()).collect();
    order.sort_unstable_by_key(|index| series[*index].series_id);

    let mut places = vec![0; order.len()];
    for (new, old) in order.into_iter().enumerate() {
        places[old] = new;
    }

    series.sort_unstable_by_key(|series| series.series_id);
    places
}
