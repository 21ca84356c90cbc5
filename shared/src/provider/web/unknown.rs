//! Remembers the symbols that a provider does not know.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::market::Symbol;

/// How long a symbol counts as unknown without being asked for again.
const REMEMBERED_FOR: Duration = Duration::from_hours(1);
/// Most symbols that are remembered.
const MOST: usize = 1_000;

/// The symbols that spoiled a list, so that the next list is asked for without them.
#[derive(Debug, Default)]
pub(super) struct UnknownSymbols(Mutex<HashMap<Symbol, Instant>>);

impl UnknownSymbols {
    /// Whether `symbol` turned out to be unknown less than an hour before `now`.
    pub(super) fn contains(&self, symbol: &Symbol, now: Instant) -> bool {
        let symbols = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        symbols.get(symbol).is_some_and(|until| *until > now)
    }

    /// Remembers `symbol`. If there are too many, it is asked for again next time.
    pub(super) fn add(&self, symbol: &Symbol, now: Instant) {
        let mut symbols = self.0.lock().unwrap_or_else(PoisonError::into_inner);

        if symbols.len() >= MOST {
            symbols.retain(|_, until| *until > now);
        }
        if symbols.len() < MOST {
            symbols.insert(symbol.clone(), now + REMEMBERED_FOR);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_is_remembered_for_an_hour_and_a_thousand_at_most() {
        let (unknown, start) = (UnknownSymbols::default(), Instant::now());
        let symbol = |number: usize| format!("S{number}").parse::<Symbol>().unwrap();
        for number in 0..=MOST {
            unknown.add(&symbol(number), start);
        }

        assert!(unknown.contains(&symbol(0), start + Duration::from_secs(3_599)));
        assert!(!unknown.contains(&symbol(MOST), start));

        let later = start + REMEMBERED_FOR;
        assert!(!unknown.contains(&symbol(0), later));
        unknown.add(&symbol(MOST), later);
        assert!(unknown.contains(&symbol(MOST), later));
    }
}
