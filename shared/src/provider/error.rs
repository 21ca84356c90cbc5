//! Why a provider gave no quote, by what it means for the caller.

use std::fmt;
use std::time::Duration;

use crate::market::{ProviderName, Symbol};

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
    #[error("{provider} limits our requests{}", of(*.scope))]
    RateLimited {
        /// The provider that was asked.
        provider: ProviderName,
        /// How long to wait before the next request, if the provider said so.
        retry_after: Option<Duration>,
        /// Which limit is reached, if the provider said so.
        scope: Option<LimitScope>,
    },
    /// The provider does not allow the request. Waiting does not change that; a key or a plan does.
    #[error("{provider} {refusal}")]
    NotAllowed {
        /// The provider that was asked, or that cannot be.
        provider: ProviderName,
        /// What is missing.
        refusal: Refusal,
    },
    /// The provider is not asked for a while, because it failed before.
    #[error("{provider} is not asked for {} s: {reason}", wait.as_secs().max(1))]
    Paused {
        /// The provider that would have been asked.
        provider: ProviderName,
        /// Why it is not asked; safe to show.
        reason: String,
        /// How long until it may be asked again.
        wait: Duration,
    },
    /// How the provider spells the symbols could not be read from Postgres. It was not asked.
    #[error("Postgres does not tell how {provider} spells the symbols; please try again later")]
    Unspelled {
        /// The provider that would have been asked.
        provider: ProviderName,
    },
    /// There was no complete answer within [`REQUEST_TIMEOUT`], or within the time that the caller
    /// had left for it.
    ///
    /// [`REQUEST_TIMEOUT`]: super::REQUEST_TIMEOUT
    #[error("{provider} did not answer in time")]
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

/// Which limit a provider reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitScope {
    /// That of a second, or of bursts.
    Second,
    /// That of a minute.
    Minute,
    /// That of an hour.
    Hour,
    /// That of a day.
    Day,
    /// That of a month.
    Month,
    /// That of our address, with any key.
    Address,
}

/// Why a provider does not allow a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The configuration has no key; this variable sets it. The provider was not asked.
    NeedsKey(&'static str),
    /// The provider does not accept the key.
    KeyRefused,
    /// The plan of the key does not include what was asked for.
    Plan,
    /// The provider denies access to our address, for example because of its country.
    Blocked,
}

impl ProviderError {
    /// The kind of the error, as the API's problems name it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::UnknownSymbol { .. } => "unknown-symbol",
            Self::NoPrice { .. } => "no-price",
            Self::RateLimited { .. } => "provider-rate-limited",
            Self::NotAllowed { .. } => "provider-not-allowed",
            Self::Paused { .. } => "no-provider-available",
            Self::Unspelled { .. } => "database-unavailable",
            Self::TimedOut { .. } => "provider-timeout",
            Self::Unavailable { .. } => "provider-unavailable",
            Self::Malformed { .. } => "provider-invalid-response",
        }
    }

    /// The same error, about this symbol if it is about one.
    pub(super) fn about(self, symbol: &Symbol) -> Self {
        let symbol = symbol.clone();
        match self {
            Self::UnknownSymbol { provider, .. } => Self::UnknownSymbol { symbol, provider },
            Self::NoPrice {
                provider, reason, ..
            } => Self::NoPrice {
                symbol,
                provider,
                reason,
            },
            other => other,
        }
    }

    /// How long to wait before the next request if the provider limits them, or is not asked for a
    /// while: what is known, or else what such a limit usually takes. `None` for all other errors.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        match self {
            Self::RateLimited {
                retry_after, scope, ..
            } => Some(retry_after.unwrap_or_else(|| usual_wait(*scope))),
            Self::Paused { wait, .. } => Some(*wait),
            _ => None,
        }
    }
}

/// The wait for a limit whose end the provider does not tell. The end of a day or a month depends
/// on the provider's clock, so it is tried again after a while.
fn usual_wait(scope: Option<LimitScope>) -> Duration {
    match scope {
        Some(LimitScope::Second) => Duration::from_secs(1),
        Some(LimitScope::Minute) | None => Duration::from_mins(1),
        Some(LimitScope::Address) => Duration::from_mins(15),
        Some(LimitScope::Hour) => Duration::from_mins(15),
        Some(LimitScope::Day) => Duration::from_hours(1),
        Some(LimitScope::Month) => Duration::from_hours(24),
    }
}

fn of(scope: Option<LimitScope>) -> &'static str {
    match scope {
        None => "",
        Some(LimitScope::Second) => " per second",
        Some(LimitScope::Minute) => " per minute",
        Some(LimitScope::Hour) => " per hour",
        Some(LimitScope::Day) => " per day",
        Some(LimitScope::Month) => " per month",
        Some(LimitScope::Address) => " from this address",
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeedsKey(variable) => write!(f, "needs {variable}"),
            Self::KeyRefused => f.write_str("does not accept our key"),
            Self::Plan => f.write_str("does not allow this with the plan of our key"),
            Self::Blocked => f.write_str("denies access to our address"),
        }
    }
}
