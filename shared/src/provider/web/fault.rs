//! Why an answer has no quote, before provider and symbol are named.

use std::time::Duration;

use super::Received;
use crate::market::{ProviderName, Symbol};
use crate::provider::{LimitScope, ProviderError, Refusal};

/// Why a request, or one symbol of it, gave no quote. The texts are safe to show.
///
/// [`Fault::Unavailable`] and [`Fault::TimedOut`] are outages: the provider gave no answer of its
/// own, for any symbol. [`Fault::Malformed`] is an answer that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::provider) enum Fault {
    Unknown,
    NoPrice(String),
    RateLimited {
        retry_after: Option<Duration>,
        scope: Option<LimitScope>,
    },
    NotAllowed(Refusal),
    TimedOut,
    Unavailable(String),
    Malformed(String),
}

impl Fault {
    /// A limit of this scope, for as long as the header `Retry-After` says.
    pub(in crate::provider) fn limited(received: &Received, scope: LimitScope) -> Self {
        Self::RateLimited {
            retry_after: received.retry_after,
            scope: Some(scope),
        }
    }

    /// A body of another shape than the provider's.
    pub(in crate::provider) fn shape() -> Self {
        Self::Malformed("JSON of another shape".to_owned())
    }

    /// An entry, where that of `symbol` belongs, that names another one.
    pub(in crate::provider) fn of_another(symbol: &Symbol) -> Self {
        Self::Malformed(format!("its entry for {symbol} names another symbol"))
    }

    /// An entry of one symbol that cannot be read.
    pub(in crate::provider) fn entry(symbol: &Symbol) -> Self {
        Self::Malformed(format!("its entry for {symbol}"))
    }

    /// An error that the provider reports in its own words or numbers, which are not known.
    pub(in crate::provider) fn reported() -> Self {
        Self::Malformed("an error of its own".to_owned())
    }

    /// The same with the provider's number of it.
    pub(in crate::provider) fn reported_as(code: i64) -> Self {
        Self::Malformed(format!("an error of its own, code {code}"))
    }

    /// The fault that follows from the status and the form of an answer whose body names none.
    /// `None` for JSON with a status of success.
    ///
    /// A status from 500 on is an outage. Another status from 400 on may be caused by the symbols
    /// of the request.
    pub(in crate::provider) fn of_status(received: &Received) -> Option<Self> {
        let status = received.status;
        let http = || format!("HTTP status {status}");

        match status {
            200..=299 if received.looks_like_json() => None,
            200..=299 if received.body.trim().is_empty() => {
                Some(Self::Unavailable("an empty answer".to_owned()))
            }
            200..=299 => Some(Self::Unavailable("a web page instead of data".to_owned())),
            300..=399 => Some(Self::Unavailable("it sends us elsewhere".to_owned())),
            401 => Some(Self::NotAllowed(Refusal::KeyRefused)),
            402 | 403 => Some(Self::NotAllowed(Refusal::Plan)),
            418 => Some(Self::limited(received, LimitScope::Address)),
            429 => Some(Self::RateLimited {
                retry_after: received.retry_after,
                scope: None,
            }),
            451 => Some(Self::NotAllowed(Refusal::Blocked)),
            408 | 500.. => Some(Self::Unavailable(http())),
            _ => Some(Self::Malformed(http())),
        }
    }

    /// The same for a provider without keys, which can only deny access to our address.
    pub(in crate::provider) fn of_status_without_key(received: &Received) -> Option<Self> {
        match Self::of_status(received) {
            Some(Self::NotAllowed(_)) => Some(Self::NotAllowed(Refusal::Blocked)),
            other => other,
        }
    }

    /// Turns an outage with a header `Retry-After` into a limit that lasts as long.
    pub(super) fn with_its_end(self, received: &Received) -> Self {
        match self {
            Self::Unavailable(_) if received.retry_after.is_some() => Self::RateLimited {
                retry_after: received.retry_after,
                scope: None,
            },
            other => other,
        }
    }

    /// Whether it applies to every request for a while, for any symbol.
    pub(super) fn concerns_all(&self) -> bool {
        match self {
            Self::RateLimited { .. } => true,
            Self::NotAllowed(refusal) => *refusal != Refusal::Plan,
            _ => false,
        }
    }

    /// Whether the symbols of the request may have caused it. In an answer about one symbol it is
    /// that symbol's fault.
    pub(super) fn may_be_of_symbol(&self) -> bool {
        matches!(self, Self::NotAllowed(Refusal::Plan) | Self::Malformed(_))
    }

    /// The error of `symbol`, or of a request whose first symbol it is.
    pub(in crate::provider) fn error(
        self,
        provider: &ProviderName,
        symbol: &Symbol,
    ) -> ProviderError {
        let (provider, symbol) = (provider.clone(), symbol.clone());

        match self {
            Self::Unknown => ProviderError::UnknownSymbol { symbol, provider },
            Self::NoPrice(reason) => ProviderError::NoPrice {
                symbol,
                provider,
                reason,
            },
            Self::RateLimited { retry_after, scope } => ProviderError::RateLimited {
                provider,
                retry_after,
                scope,
            },
            Self::NotAllowed(refusal) => ProviderError::NotAllowed { provider, refusal },
            Self::TimedOut => ProviderError::TimedOut { provider },
            Self::Unavailable(reason) => ProviderError::Unavailable { provider, reason },
            Self::Malformed(reason) => ProviderError::Malformed { provider, reason },
        }
    }
}
