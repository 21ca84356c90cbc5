//! A provider that records the requests for quotes.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use shared::market::{ProviderName, Quote, Symbol, Timestamp, to_microseconds};
use shared::provider::{Answer, Limits, MarketHours, Provider, ProviderError};

/// Quotes 101 in its first answer, 102 in its second, and so on. It does not know `NOPE`, and has
/// no price for `IDLE`. It cannot have symbols with a slash.
#[derive(Debug)]
pub(crate) struct Quoter {
    name: ProviderName,
    asked: Mutex<Vec<Vec<Symbol>>>,
    trouble: Mutex<Option<ProviderError>>,
    /// Requests that include any of these symbols are never answered.
    silent_about: Mutex<Vec<Symbol>>,
    /// How long each request takes.
    takes: Mutex<Duration>,
    limits: Mutex<Limits>,
}

impl Quoter {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.parse().expect("a name"),
            asked: Mutex::default(),
            trouble: Mutex::default(),
            silent_about: Mutex::default(),
            takes: Mutex::default(),
            limits: Mutex::new(Limits::unlimited(2)),
        }
    }

    /// The symbols of each request so far.
    pub(crate) fn asked(&self) -> Vec<Vec<String>> {
        self.requests()
            .iter()
            .map(|symbols| symbols.iter().map(ToString::to_string).collect())
            .collect()
    }

    /// Makes the next request fail with `error`.
    pub(crate) fn will_fail(&self, error: ProviderError) {
        *self.trouble.lock().expect("the trouble") = Some(error);
    }

    /// Leaves every request that includes `symbol` without an answer from now on.
    pub(crate) fn will_be_silent_about(&self, symbol: &str) {
        self.silent_about
            .lock()
            .expect("the symbols")
            .push(symbol.parse().expect("a symbol"));
    }

    /// Has these limits from now on.
    pub(crate) fn will_allow(&self, limits: Limits) {
        *self.limits.lock().expect("the limits") = limits;
    }

    /// Makes each request take this time from now on.
    pub(crate) fn will_take(&self, time: Duration) {
        *self.takes.lock().expect("the time") = time;
    }

    fn is_silent_about(&self, symbols: &[Symbol]) -> bool {
        self.silent_about
            .lock()
            .expect("the symbols")
            .iter()
            .any(|silent| symbols.contains(silent))
    }

    fn requests(&self) -> MutexGuard<'_, Vec<Vec<Symbol>>> {
        self.asked.lock().expect("the requests")
    }

    fn quote(
        &self,
        symbol: &Symbol,
        price: usize,
        timestamp: Timestamp,
    ) -> Result<Quote, ProviderError> {
        let (symbol, provider) = (symbol.clone(), self.name.clone());

        match symbol.as_str() {
            "NOPE" => Err(ProviderError::UnknownSymbol { symbol, provider }),
            "IDLE" => Err(ProviderError::NoPrice {
                symbol,
                provider,
                reason: "not traded".to_owned(),
            }),
            _ => Ok(Quote {
                symbol,
                price: price.to_string().parse().expect("a price"),
                currency: Some("USD".parse().expect("a currency")),
                timestamp,
            }),
        }
    }
}

#[async_trait]
impl Provider for Quoter {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn limits(&self) -> Limits {
        *self.limits.lock().expect("the limits")
    }

    async fn unaskable(
        &self,
        symbols: &[Symbol],
    ) -> Result<Vec<(Symbol, ProviderError)>, ProviderError> {
        let unknown = |symbol: &Symbol| ProviderError::UnknownSymbol {
            symbol: symbol.clone(),
            provider: self.name.clone(),
        };
        let pairs = symbols
            .iter()
            .filter(|symbol| symbol.as_str().contains('/'));
        Ok(pairs
            .map(|symbol| (symbol.clone(), unknown(symbol)))
            .collect())
    }

    fn market_hours(&self) -> MarketHours {
        match self.name.as_str() {
            "spare" => MarketHours::AlwaysOpen,
            _ => MarketHours::Unknown,
        }
    }

    async fn fetch(&self, symbols: &[Symbol], at: Timestamp) -> Result<Answer, ProviderError> {
        let count = {
            let mut asked = self.requests();
            asked.push(symbols.to_vec());
            asked.len()
        };

        let takes = *self.takes.lock().expect("the time");
        tokio::time::sleep(takes).await;

        if let Some(error) = self.trouble.lock().expect("the trouble").take() {
            return Err(error);
        }

        if self.is_silent_about(symbols) {
            std::future::pending::<()>().await;
        }

        let quotes = symbols
            .iter()
            .map(|symbol| (symbol.clone(), self.quote(symbol, 100 + count, at)));
        let quotes = quotes.collect();

        Ok(Answer {
            received_at: to_microseconds(Utc::now()),
            requests: 1,
            body: format!("answer {count}"),
            quotes,
        })
    }
}
