//! The port to market data providers, and their names.
//!
//! A provider is asked for a batch of symbols in one HTTP request; callers split larger lists by
//! [`Provider::max_symbols`], so that they can do their own upkeep (renew a lease) between requests.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;

use crate::market::{ProviderName, Quote, Symbol, Timestamp};

mod registry;
pub mod replay;
pub mod yahoo;

pub use registry::Providers;

/// Name of the provider that asks Yahoo Finance.
pub const YAHOO: &str = "yahoo";
/// Name of the provider that plays recorded prices.
pub const REPLAY: &str = "replay";
/// Every provider we know, the preferred one first.
pub const NAMES: [&str; 2] = [YAHOO, REPLAY];

/// Longest that one request to a provider may take, connecting and reading included.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest that [`Provider::probe`] waits.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// What [`Provider::probe`] asks for: every provider of ours is likely to know it.
const PROBE_SYMBOL: &str = "AAPL";

/// A source of quotes.
#[async_trait]
pub trait Provider: fmt::Debug + Send + Sync {
    /// The name that its quotes carry.
    fn name(&self) -> &ProviderName;

    /// Most symbols that one [`Provider::fetch`] takes; never 0.
    fn max_symbols(&self) -> usize;

    /// Asks for the present quotes of `symbols`, which are upper-cased, in one request. `at` is the tick's time in a poll, else now; only
    /// simulated providers go by it.
    ///
    /// # Errors
    /// When nothing at all was had; a single symbol's trouble stands beside it in [`Answer::quotes`].
    async fn fetch(&self, symbols: &[Symbol], at: Timestamp) -> Result<Answer, ProviderError>;

    /// Whether the provider answers at all, within [`PROBE_TIMEOUT`]. This is a request like any other: callers
    /// remember its outcome for a while.
    ///
    /// # Errors
    /// When it does not answer, or limits us.
    async fn probe(&self) -> Result<(), ProviderError> {
        let symbols = [PROBE_SYMBOL.parse().expect("the probe's symbol is a symbol")];
        let asked = tokio::time::timeout(PROBE_TIMEOUT, self.fetch(&symbols, Utc::now()));
        let late = || ProviderError::Unavailable {
            provider: self.name().clone(),
            reason: format!("no answer within {} s", PROBE_TIMEOUT.as_secs()),
        };
        asked.await.unwrap_or_else(|_| Err(late())).map(|_| ())
    }
}

/// One request's worth of quotes.
#[derive(Clone, Debug)]
pub struct Answer {
    /// When the raw response had arrived: `polled_at` of its quotes.
    pub received_at: Timestamp,
    /// The response body as it came; U+FFFD stands for what is not text.
    pub body: String,
    /// One entry for each symbol asked for, in that order.
    pub quotes: Vec<(Symbol, Result<Quote, ProviderError>)>,
}

/// What a provider's trouble means for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The provider does not know the symbol.
    #[error("{provider} does not know the symbol {symbol}")]
    UnknownSymbol {
        /// The symbol asked for.
        symbol: Symbol,
        /// Who was asked.
        provider: ProviderName,
    },
    /// The symbol is known but has no usable price now.
    #[error("{provider} has no usable price for {symbol}: {reason}")]
    NoPrice {
        /// The symbol asked for.
        symbol: Symbol,
        /// Who was asked.
        provider: ProviderName,
        /// What was found instead of a price; safe to show.
        reason: String,
    },
    /// The provider limits us.
    #[error("{provider} limits our requests")]
    RateLimited {
        /// Who was asked.
        provider: ProviderName,
        /// How long to leave it alone.
        retry_after: Duration,
    },
    /// No complete answer within [`REQUEST_TIMEOUT`].
    #[error("{provider} did not answer within {} s", REQUEST_TIMEOUT.as_secs())]
    TimedOut {
        /// Who was asked.
        provider: ProviderName,
    },
    /// Not reachable, or an error of its own.
    #[error("{provider} is not available: {reason}")]
    Unavailable {
        /// Who was asked.
        provider: ProviderName,
        /// What happened; safe to show.
        reason: String,
    },
    /// An answer that is not in the provider's own format.
    #[error("{provider} gave an answer we cannot read: {reason}")]
    Malformed {
        /// Who was asked.
        provider: ProviderName,
        /// What was wrong; safe to show.
        reason: String,
    },
}

/// One of our own names as a [`ProviderName`].
pub(crate) fn name(text: &'static str) -> ProviderName {
    text.parse().expect("our own provider names are names")
}
