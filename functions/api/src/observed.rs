//! What one instance remembers between requests. It only saves calls; losing it is harmless.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shared::acquisition::Instance;
use shared::market::ProviderName;
use shared::price_log::backlog::PartitionBacklog;
use tokio::time::Instant;

use crate::changes::Fences;
use crate::health::check::Check;

/// How long after a failed publish no provider is asked, because its quotes could not be published
/// either.
const LOG_PAUSE: Duration = Duration::from_secs(5);

/// Outcomes of earlier requests that later ones use.
#[derive(Debug, Default)]
pub struct Observed {
    last_failed_publish: Mutex<Option<Instant>>,
    /// Tokens of the providers' budgets, and fetches in flight.
    pub(crate) instance: Instance,
    pub(crate) probes: Latest<ProviderName, Check>,
    pub(crate) backlog: Latest<(), Vec<PartitionBacklog>>,
    /// What requests that wait for changes look at.
    pub(crate) fences: Fences,
}

impl Observed {
    /// Records whether a publish failed. One that succeeded ends the pause.
    pub(crate) fn published(&self, failed: bool, now: Instant) {
        *self
            .last_failed_publish
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = failed.then_some(now);
    }

    /// Whether the last publish failed, less than [`LOG_PAUSE`] ago.
    pub(crate) fn log_is_unavailable(&self, now: Instant) -> bool {
        let last = *self
            .last_failed_publish
            .lock()
            .unwrap_or_else(PoisonError::into_inner);

        last.is_some_and(|last| now.duration_since(last) < LOG_PAUSE)
    }
}

/// The latest outcome for each key, with the time at which it was observed.
#[derive(Debug)]
pub(crate) struct Latest<K, V>(Mutex<HashMap<K, (Instant, V)>>);

impl<K, V> Default for Latest<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Latest<K, V> {
    /// The outcome of `key`, if it is younger than `age`.
    pub(crate) fn younger_than(&self, age: Duration, key: &K) -> Option<V> {
        let latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        latest
            .get(key)
            .filter(|(at, _)| at.elapsed() < age)
            .map(|(_, outcome)| outcome.clone())
    }

    /// Records `outcome` as observed now.
    pub(crate) fn remember(&self, key: K, outcome: V) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, (Instant::now(), outcome));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_publish_pauses_the_log_for_five_seconds_and_a_good_one_ends_the_pause() {
        let observed = Observed::default();
        let start = Instant::now();
        assert!(!observed.log_is_unavailable(start));

        observed.published(true, start);
        assert!(observed.log_is_unavailable(start + Duration::from_millis(4_999)));
        assert!(!observed.log_is_unavailable(start + Duration::from_secs(5)));

        observed.published(true, start);
        observed.published(false, start);
        assert!(!observed.log_is_unavailable(start));
    }
}
