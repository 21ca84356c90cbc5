//! Why a fetch failed, as it is stored for those who waited for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::market::{ProviderName, Symbol};
use crate::provider::{LimitScope, ProviderError, Refusal};

/// A failure that is one for everybody who wants the quote. Symbol and provider are those of the
/// lease.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Stored {
    UnknownSymbol,
    NoPrice {
        reason: String,
    },
    RateLimited {
        retry_after_ms: Option<u64>,
        scope: Option<StoredScope>,
    },
    KeyRefused,
    Plan,
    Blocked,
    TimedOut,
    Unavailable {
        reason: String,
    },
    Malformed {
        reason: String,
    },
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(remote = "LimitScope", rename_all = "snake_case")]
enum StoredScopeOf {
    Second,
    Minute,
    Hour,
    Day,
    Month,
    Address,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredScope(#[serde(with = "StoredScopeOf")] LimitScope);

/// The text of a failure; `None` if it is one of the caller's own. That its provider is not asked
/// for a while each caller learns at the gate.
pub(super) fn written(error: &ProviderError) -> Option<String> {
    let stored = match error {
        ProviderError::UnknownSymbol { .. } => Stored::UnknownSymbol,
        ProviderError::NoPrice { reason, .. } => Stored::NoPrice {
            reason: reason.clone(),
        },
        ProviderError::RateLimited {
            retry_after, scope, ..
        } => Stored::RateLimited {
            retry_after_ms: retry_after.and_then(|wait| u64::try_from(wait.as_millis()).ok()),
            scope: scope.map(StoredScope),
        },
        ProviderError::NotAllowed { refusal, .. } => match refusal {
            Refusal::NeedsKey(_) => return None,
            Refusal::KeyRefused => Stored::KeyRefused,
            Refusal::Plan => Stored::Plan,
            Refusal::Blocked => Stored::Blocked,
        },
        ProviderError::Paused { .. } | ProviderError::Unspelled { .. } => return None,
        ProviderError::TimedOut { .. } => Stored::TimedOut,
        ProviderError::Unavailable { reason, .. } => Stored::Unavailable {
            reason: reason.clone(),
        },
        ProviderError::Malformed { reason, .. } => Stored::Malformed {
            reason: reason.clone(),
        },
    };
    serde_json::to_string(&stored).ok()
}

/// A failure that [`written`] wrote. One of another version may be unreadable; then the symbol is
/// fetched.
pub(super) fn read(text: &str, provider: &ProviderName, symbol: &Symbol) -> Option<ProviderError> {
    let (provider, symbol) = (provider.clone(), symbol.clone());
    let refused = |provider, refusal| ProviderError::NotAllowed { provider, refusal };

    Some(match serde_json::from_str(text).ok()? {
        Stored::UnknownSymbol => ProviderError::UnknownSymbol { symbol, provider },
        Stored::NoPrice { reason } => ProviderError::NoPrice {
            symbol,
            provider,
            reason,
        },
        Stored::RateLimited {
            retry_after_ms,
            scope,
        } => ProviderError::RateLimited {
            provider,
            retry_after: retry_after_ms.map(Duration::from_millis),
            scope: scope.map(|StoredScope(scope)| scope),
        },
        Stored::KeyRefused => refused(provider, Refusal::KeyRefused),
        Stored::Plan => refused(provider, Refusal::Plan),
        Stored::Blocked => refused(provider, Refusal::Blocked),
        Stored::TimedOut => ProviderError::TimedOut { provider },
        Stored::Unavailable { reason } => ProviderError::Unavailable { provider, reason },
        Stored::Malformed { reason } => ProviderError::Malformed { provider, reason },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_failure_is_read_as_it_was_and_what_is_the_caller_s_own_is_not_stored() {
        let provider: ProviderName = "yahoo".parse().unwrap();
        let symbol: Symbol = "AAPL".parse().unwrap();
        let of = |provider: &ProviderName| provider.clone();
        let shared = [
            ProviderError::UnknownSymbol {
                symbol: symbol.clone(),
                provider: of(&provider),
            },
            ProviderError::RateLimited {
                provider: of(&provider),
                retry_after: Some(Duration::from_millis(1_500)),
                scope: Some(LimitScope::Address),
            },
            ProviderError::NotAllowed {
                provider: of(&provider),
                refusal: Refusal::Plan,
            },
            ProviderError::Malformed {
                provider: of(&provider),
                reason: "\"half".to_owned(),
            },
        ];
        for error in shared {
            let text = written(&error).unwrap();
            assert_eq!(read(&text, &provider, &symbol), Some(error), "{text}");
        }

        let own = ProviderError::Paused {
            provider: of(&provider),
            reason: String::new(),
            wait: Duration::ZERO,
        };
        assert_eq!(written(&own), None);
        assert_eq!(read("{\"kind\": \"later\"}", &provider, &symbol), None);
    }
}
