//! The port to market data providers, and their names.
//!
//! A provider is asked for several symbols in one HTTP request. Callers split larger lists by
//! [`Provider::max_symbols`], so that they can act between requests, for example to renew a lease.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::market::{ProviderName, Quote, Symbol, Timestamp, Trading};

mod alpha_vantage;
mod binance;
mod coinbase;
mod error;
mod finnhub;
mod kraken;
mod limits;
mod registry;
pub mod replay;
mod spelled;
mod tiingo;
mod twelve_data;
mod web;
mod yahoo;

pub use error::{LimitScope, ProviderError, Refusal};
pub use limits::{Cost, Limits, LimitsError};
pub use registry::Providers;
pub use spelled::{Spelling, Spellings};

/// Name of the provider that queries Yahoo Finance.
pub const YAHOO: &str = "yahoo";
/// Name of the provider that queries Finnhub.
pub const FINNHUB: &str = "finnhub";
/// Name of the provider that queries Twelve Data.
pub const TWELVE_DATA: &str = "twelve_data";
/// Name of the provider that queries Alpha Vantage.
pub const ALPHA_VANTAGE: &str = "alpha_vantage";
/// Name of the provider that queries Tiingo.
pub const TIINGO: &str = "tiingo";
/// Name of the provider that queries Coinbase Exchange.
pub const COINBASE: &str = "coinbase";
/// Name of the provider that queries Kraken.
pub const KRAKEN: &str = "kraken";
/// Name of the provider that queries Binance.
pub const BINANCE: &str = "binance";
/// Name of the provider that replays recorded prices.
pub const REPLAY: &str = "replay";
/// The names of all providers, the preferred one first.
pub const NAMES: [&str; 9] = [
    YAHOO,
    FINNHUB,
    TWELVE_DATA,
    ALPHA_VANTAGE,
    TIINGO,
    COINBASE,
    KRAKEN,
    BINANCE,
    REPLAY,
];

/// The limits that the providers document, and what is known of those that do not.
pub(crate) mod documented {
    pub(crate) use super::alpha_vantage::LIMITS as ALPHA_VANTAGE;
    pub(crate) use super::binance::LIMITS as BINANCE;
    pub(crate) use super::coinbase::LIMITS as COINBASE;
    pub(crate) use super::finnhub::LIMITS as FINNHUB;
    pub(crate) use super::kraken::LIMITS as KRAKEN;
    pub(crate) use super::tiingo::LIMITS as TIINGO;
    pub(crate) use super::twelve_data::LIMITS as TWELVE_DATA;
    pub(crate) use super::yahoo::LIMITS as YAHOO;
}

/// Longest that one request to a provider may take, connecting and reading included.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether a provider says when markets are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarketHours {
    /// Its markets never close.
    AlwaysOpen,
    /// Its answers contain trading periods.
    Told,
    /// Its answers contain no trading periods, or none that are read.
    Unknown,
}

/// A source of quotes.
#[async_trait]
pub trait Provider: fmt::Debug + Send + Sync {
    /// The provider's name, which is also in its quotes.
    fn name(&self) -> &ProviderName;

    /// What the provider allows, as configured.
    fn limits(&self) -> Limits;

    /// The variable that is missing, if the provider cannot be asked without it.
    fn needs(&self) -> Option<&'static str> {
        None
    }

    /// Checks that the provider can be asked.
    ///
    /// # Errors
    /// [`ProviderError::NotAllowed`] if it [needs](Provider::needs) a variable.
    fn ready(&self) -> Result<(), ProviderError> {
        self.needs().map_or(Ok(()), |variable| {
            Err(ProviderError::NotAllowed {
                provider: self.name().clone(),
                refusal: Refusal::NeedsKey(variable),
            })
        })
    }

    /// Whether it is asked over a network, so that its requests are rationed and shared.
    fn is_remote(&self) -> bool {
        true
    }

    /// A digest of the key that is sent to it, if any: another key has another digest.
    fn key_digest(&self) -> Option<String> {
        None
    }

    /// Most symbols in one [`Provider::fetch`]; at least 1.
    fn max_symbols(&self) -> usize {
        usize::try_from(self.limits().max_symbols).unwrap_or(usize::MAX)
    }

    /// The symbols that the provider is not asked for, each with its error: it cannot have them, or
    /// did not know them within the last hour. No request is sent.
    ///
    /// # Errors
    /// When this cannot be determined for any symbol.
    async fn unaskable(
        &self,
        _symbols: &[Symbol],
    ) -> Result<Vec<(Symbol, ProviderError)>, ProviderError> {
        Ok(Vec::new())
    }

    /// Fetches the current quotes of `symbols`, which are upper-cased, in one request. `at` is the
    /// tick's time in a poll, otherwise the current time. Only `replay` reads it, to choose the
    /// recorded price.
    ///
    /// # Errors
    /// When no quote at all was received. An error of a single symbol is in [`Answer::quotes`].
    async fn fetch(&self, symbols: &[Symbol], at: Timestamp) -> Result<Answer, ProviderError>;

    /// The number of redirections that were followed since the last call, including those of requests
    /// that failed or were abandoned. Each was a request of its own.
    fn take_redirections(&self) -> u32 {
        0
    }

    /// Whether it says when markets are open.
    fn market_hours(&self) -> MarketHours {
        MarketHours::Unknown
    }

    /// The trading periods in an answer to the request for `symbols`. An answer about a single
    /// symbol may contain more of them.
    async fn trading(&self, _symbols: &[Symbol], _answer: &Answer) -> Vec<(Symbol, Trading)> {
        Vec::new()
    }

    /// Whether an answer to [`Provider::fetch`] says only that one of several symbols, not told
    /// which, is unknown. Then [`Provider::fetch_among_all`] gives the others their quotes.
    fn is_undecided(&self, _answer: &Answer) -> bool {
        false
    }

    /// Fetches the same quotes from an answer about everything that the provider has, in one
    /// request.
    ///
    /// # Errors
    /// As those of [`Provider::fetch`].
    async fn fetch_among_all(
        &self,
        symbols: &[Symbol],
        at: Timestamp,
    ) -> Result<Answer, ProviderError> {
        self.fetch(symbols, at).await
    }
}

/// The quotes of one request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// When the raw response was received: `polled_at` of its quotes.
    pub received_at: Timestamp,
    /// How many requests were sent: usually one. None if no symbol could be one of the provider's,
    /// and one more for each redirection.
    pub requests: u32,
    /// The response body, unchanged except that U+FFFD replaces what is not UTF-8.
    pub body: String,
    /// One entry for each requested symbol, in the order of the request.
    pub quotes: Vec<(Symbol, Result<Quote, ProviderError>)>,
}

/// One of [`NAMES`] as a [`ProviderName`].
pub(crate) fn name(text: &'static str) -> ProviderName {
    text.parse().expect("our own provider names are names")
}
