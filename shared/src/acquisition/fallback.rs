//! Which symbols the next provider of a list is asked for, and when a provider gets no further
//! request.

use std::time::Duration;

use super::Loss;
use crate::provider::{ProviderError, Refusal};

/// Longest wait for a breaker or a budget. Both are asked again without asking the provider, and a
/// replaced key or a raised limit may end the wait at any time.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// Whether another provider may have the quote that this one did not give.
///
/// A symbol that one provider does not know is most likely misspelt, so another one is asked only
/// with `on_unknown_symbol`. A missing price is a fact about the market, and not about the
/// provider. A quote that could not be published was received, so another provider would not help.
#[must_use]
pub fn is_mendable(loss: &Loss, on_unknown_symbol: bool) -> bool {
    match loss {
        Loss::Provider(error) => match error {
            ProviderError::UnknownSymbol { .. } => on_unknown_symbol,
            ProviderError::NoPrice { .. } => false,
            ProviderError::RateLimited { .. }
            | ProviderError::Paused { .. }
            | ProviderError::NotAllowed { .. }
            | ProviderError::Unspelled { .. }
            | ProviderError::TimedOut { .. }
            | ProviderError::Unavailable { .. }
            | ProviderError::Malformed { .. } => true,
        },
        Loss::Log(_) | Loss::OutOfTime => false,
    }
}

/// Whether a symbol has no quote because none of the providers that were asked for it is available.
#[must_use]
pub fn none_available(losses: &[Loss], on_unknown_symbol: bool) -> bool {
    let all = losses
        .iter()
        .all(|loss| is_mendable(loss, on_unknown_symbol));
    all && losses.iter().any(|loss| is_mendable(loss, false))
}

/// Whether every request to the provider would fail in the same way for now, for any symbol.
#[must_use]
pub fn concerns_all(error: &ProviderError) -> bool {
    match error {
        ProviderError::RateLimited { .. }
        | ProviderError::Paused { .. }
        | ProviderError::Unspelled { .. } => true,
        ProviderError::NotAllowed { refusal, .. } => *refusal != Refusal::Plan,
        ProviderError::UnknownSymbol { .. }
        | ProviderError::NoPrice { .. }
        | ProviderError::TimedOut { .. }
        | ProviderError::Unavailable { .. }
        | ProviderError::Malformed { .. } => false,
    }
}

/// Whether the provider gave no answer of its own, which cannot be the fault of what was asked for.
#[must_use]
pub fn is_outage(error: &ProviderError) -> bool {
    matches!(
        error,
        ProviderError::TimedOut { .. } | ProviderError::Unavailable { .. }
    )
}

/// How long until the first of the failed providers may be asked again. `None` if one of them does
/// not say when. A wait for a breaker or a budget counts as five minutes at most.
#[must_use]
pub fn wait<'a>(errors: impl IntoIterator<Item = &'a ProviderError>) -> Option<Duration> {
    let wait = |error: &ProviderError| match error {
        ProviderError::Paused { wait, .. } => Some(LONGEST_WAIT.min(*wait)),
        other => other.wait(),
    };
    let waits: Option<Vec<Duration>> = errors.into_iter().map(wait).collect();
    waits?.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::name;

    #[test]
    fn another_provider_is_asked_if_the_failure_is_the_provider_s_and_not_the_symbol_s() {
        let provider = || name("yahoo");
        let reason = String::new;
        let symbol = || "AAPL".parse().unwrap();
        let unknown = Loss::Provider(ProviderError::UnknownSymbol {
            symbol: symbol(),
            provider: provider(),
        });
        let no_price = ProviderError::NoPrice {
            symbol: symbol(),
            provider: provider(),
            reason: reason(),
        };
        let mendable = [
            ProviderError::RateLimited {
                provider: provider(),
                retry_after: None,
                scope: None,
            },
            ProviderError::Paused {
                provider: provider(),
                reason: reason(),
                wait: Duration::ZERO,
            },
            ProviderError::Unspelled {
                provider: provider(),
            },
            ProviderError::TimedOut {
                provider: provider(),
            },
            ProviderError::Unavailable {
                provider: provider(),
                reason: reason(),
            },
            ProviderError::Malformed {
                provider: provider(),
                reason: reason(),
            },
        ];

        for error in mendable {
            assert!(
                is_mendable(&Loss::Provider(error.clone()), false),
                "{error}"
            );
        }
        for lasting in [Loss::Provider(no_price), Loss::OutOfTime] {
            assert!(!is_mendable(&lasting, true), "{lasting}");
        }
        assert!(is_mendable(&unknown, true) && !is_mendable(&unknown, false));
    }

    #[test]
    fn the_shortest_wait_counts_if_all_providers_tell_one() {
        let paused = |seconds| ProviderError::Paused {
            provider: name("yahoo"),
            reason: String::new(),
            wait: Duration::from_secs(seconds),
        };
        let away = ProviderError::TimedOut {
            provider: name("yahoo"),
        };

        assert_eq!(wait(&[paused(9), paused(7)]), Some(Duration::from_secs(7)));
        assert_eq!(wait(&[paused(9), away]), None);
        assert_eq!(wait(&[paused(3_600)]), Some(LONGEST_WAIT));
    }

    #[test]
    fn a_refusal_of_the_plan_concerns_a_symbol_and_one_of_the_key_all() {
        let refused = |refusal| {
            concerns_all(&ProviderError::NotAllowed {
                provider: name("finnhub"),
                refusal,
            })
        };

        assert!(!refused(Refusal::Plan));
        assert!(refused(Refusal::KeyRefused) && refused(Refusal::Blocked));
        assert!(refused(Refusal::NeedsKey("FINNHUB_API_KEY")));
    }
}
