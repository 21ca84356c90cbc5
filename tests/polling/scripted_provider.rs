//! A provider that follows a script.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use poller::clock::Clock;
use shared::market::{ProviderName, Quote, Symbol, Timestamp, Trading};
use shared::provider::{Answer, Limits, MarketHours, Provider, ProviderError};

use crate::jumping_clock::JumpingClock;
use crate::world::at;

/// What the provider does with a request. Without a script it answers at once.
pub(crate) enum Act {
    /// Takes this long.
    Slow(TimeDelta),
    /// Never answers.
    Hang,
    /// Fails.
    Fail(ProviderError),
    /// Does not know the first symbol.
    NotTheFirst,
    /// Fails for the first symbol.
    FailTheFirst(ProviderError),
}

/// Two symbols in a request, and one request at a time.
const ONE_AFTER_THE_OTHER: Limits = Limits {
    max_concurrent: 1,
    ..Limits::unlimited(2)
};

/// When symbols trade, and the time of all their quotes.
type Told = (Vec<(Symbol, Trading)>, Timestamp);

#[derive(Debug)]
pub(crate) struct ScriptedProvider {
    name: ProviderName,
    clock: Arc<JumpingClock>,
    limits: Mutex<Limits>,
    script: Mutex<VecDeque<Act>>,
    requests: Mutex<Vec<(Timestamp, usize)>>,
    markets: Mutex<Option<Told>>,
}

impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Act")
    }
}

impl ScriptedProvider {
    pub(crate) fn new(name: &str, clock: &Arc<JumpingClock>) -> Self {
        Self {
            name: name.parse().expect("a name"),
            clock: Arc::clone(clock),
            limits: Mutex::new(ONE_AFTER_THE_OTHER),
            script: Mutex::default(),
            requests: Mutex::default(),
            markets: Mutex::default(),
        }
    }

    pub(crate) fn will(&self, acts: impl IntoIterator<Item = Act>) {
        self.script.lock().expect("the script").extend(acts);
    }

    /// Answers from now on, whatever the script says.
    pub(crate) fn forget_script(&self) {
        self.script.lock().expect("the script").clear();
    }

    /// Tells when symbols trade, and that all their quotes are of `quoted`.
    pub(crate) fn tells(&self, trading: Vec<(Symbol, Trading)>, quoted: Timestamp) {
        *self.markets.lock().expect("the markets") = Some((trading, quoted));
    }

    /// The tick of each request so far, in seconds.
    pub(crate) fn ticks(&self) -> Vec<i64> {
        let requests = self.requests.lock().expect("the requests");
        requests
            .iter()
            .map(|(tick, _)| (*tick - at(0)).num_seconds())
            .collect()
    }

    /// The number of symbols of each request so far.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        let requests = self.requests.lock().expect("the requests");
        requests.iter().map(|(_, symbols)| *symbols).collect()
    }

    /// Takes this many symbols in a request, and this many requests at the same time.
    pub(crate) fn takes(&self, max_symbols: u32, max_concurrent: u32) {
        *self.limits.lock().expect("the limits") = Limits {
            max_concurrent,
            ..Limits::unlimited(max_symbols)
        };
    }

    pub(crate) fn away(&self) -> ProviderError {
        ProviderError::Unavailable {
            provider: self.name.clone(),
            reason: "as told".to_owned(),
        }
    }

    pub(crate) fn limit(&self, seconds: u64) -> ProviderError {
        ProviderError::RateLimited {
            provider: self.name.clone(),
            retry_after: Some(Duration::from_secs(seconds)),
            scope: None,
        }
    }
}

#[async_trait]
impl Provider for ScriptedProvider {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn limits(&self) -> Limits {
        *self.limits.lock().expect("the limits")
    }

    fn market_hours(&self) -> MarketHours {
        MarketHours::Told
    }

    /// As Yahoo: the period is in answers about a single symbol only.
    async fn trading(&self, symbols: &[Symbol], _: &Answer) -> Vec<(Symbol, Trading)> {
        let markets = self.markets.lock().expect("the markets").clone();
        let mut told = markets.map(|(trading, _)| trading).unwrap_or_default();

        told.retain(|(symbol, _)| symbols.contains(symbol));
        if symbols.len() > 1 {
            told.iter_mut()
                .for_each(|(_, trading)| trading.period = None);
        }
        told
    }

    async fn fetch(&self, symbols: &[Symbol], tick: Timestamp) -> Result<Answer, ProviderError> {
        self.requests
            .lock()
            .expect("the requests")
            .push((tick, symbols.len()));

        let act = self.script.lock().expect("the script").pop_front();
        let first = symbols.first();
        let mut failing = None;

        match act {
            Some(Act::Fail(error)) => return Err(error),
            Some(Act::Hang) => std::future::pending().await,
            Some(Act::Slow(duration)) => self.clock.wait_until(self.clock.now() + duration).await,
            Some(Act::NotTheFirst) => {
                let unknown = |symbol: &Symbol| ProviderError::UnknownSymbol {
                    symbol: symbol.clone(),
                    provider: self.name.clone(),
                };
                failing = first.map(|symbol| (symbol, unknown(symbol)));
            }
            Some(Act::FailTheFirst(error)) => failing = first.map(|symbol| (symbol, error)),
            None => {}
        }

        let markets = self.markets.lock().expect("the markets").clone();
        let timestamp = markets.map_or(tick, |(_, quoted)| quoted);
        let quote = |symbol: &Symbol| match &failing {
            Some((failing, error)) if *failing == symbol => Err(error.clone()),
            _ => Ok(Quote {
                symbol: symbol.clone(),
                price: "1.5".parse().expect("a price"),
                currency: None,
                timestamp,
            }),
        };

        Ok(Answer {
            received_at: self.clock.now(),
            requests: 1,
            body: "{}".to_owned(),
            quotes: symbols
                .iter()
                .map(|symbol| (symbol.clone(), quote(symbol)))
                .collect(),
        })
    }
}
