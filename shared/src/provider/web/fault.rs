//! Why an answer has no quote, before provider and symbol are named.

use std::time::Duration;

use super::Received;
use crate::market::{ProviderName, Symbol};
use crate::provider::{LimitScope, ProviderError, Refusal};

/// Why a request, or one symbol of it, gave no quote. The texts are safe to show.
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
    /// A limit of this scope whose end the provider does not tell in the body.
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

    /// An entry of one symbol that cannot be read.
    pub(in crate::provider) fn entry(symbol: &Symbol) -> Self {
        Self::Malformed(format!("its entry for {symbol}"))
    }

    /// The fault that the status and the form of an answer show, where its body has told none.
    /// `None` for JSON with a status of success.
    pub(in crate::provider) fn of_status(received: &Received) -> Option<Self> {
        let status = received.status;
        let http = || Self::Unavailable(format!("HTTP status {status}"));

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
            _ => Some(http()),
        }
    }

    /// The same for a provider without keys, which denies access to an address only.
    pub(in crate::provider) fn of_status_without_key(received: &Received) -> Option<Self> {
        match Self::of_status(received) {
            Some(Self::NotAllowed(_)) => Some(Self::NotAllowed(Refusal::Blocked)),
            other => other,
        }
    }

    /// Whether it concerns every request for a while, and not what was asked for.
    pub(super) fn concerns_all(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::NotAllowed(_))
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
