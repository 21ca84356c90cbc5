//! The fetches in flight of one instance. Whoever wants a symbol that is being fetched joins.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Loss;
use crate::market::{ProviderName, Symbol};
use crate::price_event::PriceEvent;

type Quote = Result<PriceEvent, Loss>;
type Key = (ProviderName, Symbol);
type Open = Arc<Mutex<HashMap<Key, watch::Receiver<Option<Quote>>>>>;

/// The fetches in flight.
#[derive(Debug, Default)]
pub(super) struct Flights(Open);

/// One caller's part in the flights: the symbols that it fetches itself, and those that it joined.
/// Dropped before it has landed, it leaves those who joined without a result, and they fetch.
pub(super) struct Flight {
    provider: ProviderName,
    /// The symbols that the caller fetches.
    pub(super) led: Vec<Symbol>,
    senders: HashMap<Symbol, watch::Sender<Option<Quote>>>,
    joined: Vec<(Symbol, Joined)>,
    open: Open,
}

/// A fetch of another caller.
pub(super) struct Joined(watch::Receiver<Option<Quote>>);

impl Flights {
    /// Joins the flights of `symbols` that are under way, and opens one for each other symbol.
    pub(super) fn board(&self, provider: &ProviderName, symbols: &[Symbol]) -> Flight {
        let mut flight = Flight {
            provider: provider.clone(),
            led: Vec::new(),
            senders: HashMap::new(),
            joined: Vec::new(),
            open: Arc::clone(&self.0),
        };

        let mut open = lock(&self.0);
        for symbol in symbols {
            let key = (provider.clone(), symbol.clone());
            if let Some(receiver) = open.get(&key) {
                flight
                    .joined
                    .push((symbol.clone(), Joined(receiver.clone())));
                continue;
            }

            let (sender, receiver) = watch::channel(None);
            open.insert(key, receiver);
            flight.led.push(symbol.clone());
            flight.senders.insert(symbol.clone(), sender);
        }
        drop(open);

        flight
    }
}

impl Flight {
    /// Gives the results to those who joined.
    pub(super) fn land(&mut self, quotes: &[(Symbol, Quote)]) {
        // Closed first, so that no caller joins a flight that has landed.
        self.close();

        for (symbol, quote) in quotes {
            if let Some(sender) = self.senders.get(symbol) {
                sender.send_replace(Some(quote.clone()));
            }
        }
        self.senders.clear();
    }

    /// The flights of others that the caller joined.
    pub(super) fn joined(&mut self) -> Vec<(Symbol, Joined)> {
        std::mem::take(&mut self.joined)
    }

    fn close(&self) {
        let mut open = lock(&self.open);
        for symbol in self.senders.keys() {
            open.remove(&(self.provider.clone(), symbol.clone()));
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.close();
    }
}

impl Joined {
    /// The result; `None` if the caller that fetched ended without one.
    pub(super) async fn landed(mut self) -> Option<Quote> {
        let quote = self.0.wait_for(Option::is_some).await.ok()?;
        quote.clone()
    }
}

fn lock(open: &Open) -> MutexGuard<'_, HashMap<Key, watch::Receiver<Option<Quote>>>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}
