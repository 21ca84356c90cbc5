//! The port to market data providers, and their names.
//!
//! A provider is asked for several symbols in one HTTP request. Callers split larger lists by
//! [`Provider::max_symbols`], so that they can act between requests, for example to renew a lease.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;

use crate::market::{ProviderName, Quote, Symbol, Timestamp};

mod registry;
pub mod replay;
pub mod yahoo;

pub use registry::Providers;

/// Name of the provider that queries Yahoo Finance.
pub const YAHOO: &str = "yahoo";
/// Name of the provider that replays recorded prices.
pub const REPLAY: &str = "replay";
/// The names of all providers, the preferred one first.
pub const NAMES: [&str; 2] = [YAHOO, REPLAY];

/// Longest that one request to a provider may take, connecting and reading included.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest that [`Provider::probe`] waits.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// The symbol that [`Provider::probe`] requests; every provider probably knows it.
const PROBE_SYMBOL: &str = "AAPL";

/// A source of quotes.
#[async_trait]
pub trait Provider: fmt::Debug + Send + Sync {
    /// The provider's name, which is also in its quotes.
    fn name(&self) -> &ProviderName;

    /// Most symbols in one [`Provider::fetch`]; at least 1.
    fn max_symbols(&self) -> usize;

    /// Fetches the current quotes of `symbols`, which are upper-cased, in one request. `at` is the
    /// tick's time in a poll, otherwise the current time; only simulated providers use it.
    ///
    /// # Errors
    /// When no quote at all was received. An error of a single symbol is in [`Answer::quotes`].
    async fn fetch(&self, symbols: &[Symbol], at: Timestamp) -> Result<Answer, ProviderError>;

    /// Checks that the provider answers within [`PROBE_TIMEOUT`]. The probe counts as a request, so
    /// callers cache its result for a while.
    ///
    /// # Errors
    /// When it does not answer, or limits our requests.
    async fn probe(&self) -> Result<(), ProviderError> {
        let symbols = [PROBE_SYMBOL
            .parse()
            .expect("the probe's symbol is a symbol")];
        let asked = tokio::time::timeout(PROBE_TIMEOUT, self.fetch(&symbols, Utc::now()));
        let late = || ProviderError::Unavailable {
            provider: self.name().clone(),
            reason: format!("no answer within {} s", PROBE_TIMEOUT.as_secs()),
        };

        asked.await.unwrap_or_else(|_| Err(late())).map(|_| ())
    }
}

/// The quotes of one request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// When the raw response was received: `polled_at` of its quotes.
    pub received_at: Timestamp,
    /// The response body, unchanged except that U+FFFD replaces what is not UTF-8.
    pub body: String,
    /// One entry for each requested symbol, in the order of the request.
    pub quotes: Vec<(Symbol, Result<Quote, ProviderError>)>,
}

/// A provider's error, by what it means for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The provider does not know the symbol.
    #[error("{provider} does not know the symbol {symbol}")]
    UnknownSymbol {
        /// The requested symbol.
        symbol: Symbol,
        /// The provider that was asked.
        provider: ProviderName,
    },
    /// The symbol is known but has no usable price now.
    #[error("{provider} has no usable price for {symbol}: {reason}")]
    NoPrice {
        /// The requested symbol.
        symbol: Symbol,
        /// The provider that was asked.
        provider: ProviderName,
        /// What was received instead of a price; safe to show.
        reason: String,
    },
    /// The provider limits the rate of our requests.
    #[error("{provider} limits our requests")]
    RateLimited {
        /// The provider that was asked.
        provider: ProviderName,
        /// How long to wait before the next request.
        retry_after: Duration,
    },
    /// There was no complete answer within [`REQUEST_TIMEOUT`].
    #[error("{provider} did not answer within {} s", REQUEST_TIMEOUT.as_secs())]
    TimedOut {
        /// The provider that was asked.
        provider: ProviderName,
    },
    /// The provider cannot be reached, or reports an error of its own.
    #[error("{provider} is not available: {reason}")]
    Unavailable {
        /// The provider that was asked.
        provider: ProviderName,
        /// What happened; safe to show.
        reason: String,
    },
    /// The answer is not in the provider's format.
    #[error("{provider} gave an answer we cannot read: {reason}")]
    Malformed {
        /// The provider that was asked.
        provider: ProviderName,
        /// What was wrong; safe to show.
        reason: String,
    },
}

/// One of [`NAMES`] as a [`ProviderName`].
pub(crate) fn name(text: &'static str) -> ProviderName {
    text.parse().expect("our own provider names are names")
}
