//! Which symbols the next provider of a list is asked for.

use std::time::Duration;

use super::Loss;
use crate::provider::ProviderError;

/// Whether another provider may have the quote that this one did not give.
///
/// What one provider does not know is most likely misspelt, so another one is asked only with
/// `on_unknown_symbol`. A quote without a usable price is the market's answer. A quote that was not
/// published came already.
#[must_use]
pub fn is_mendable(loss: &Loss, on_unknown_symbol: bool) -> bool {
    match loss {
        Loss::Provider(error) => match error {
            ProviderError::UnknownSymbol { .. } => on_unknown_symbol,
            ProviderError::NoPrice { .. } => false,
            ProviderError::RateLimited { .. }
            | ProviderError::Paused { .. }
            | ProviderError::NotAllowed { .. }
            | ProviderError::TimedOut { .. }
            | ProviderError::Unavailable { .. }
            | ProviderError::Malformed { .. } => true,
        },
        Loss::Log(_) | Loss::OutOfTime => false,
    }
}

/// How long until one of the providers that failed may be asked again, if each of them says so.
#[must_use]
pub fn wait<'a>(errors: impl IntoIterator<Item = &'a ProviderError>) -> Option<Duration> {
    let waits: Option<Vec<Duration>> = errors.into_iter().map(ProviderError::wait).collect();
    waits?.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::name;

    #[test]
    fn another_provider_mends_what_is_the_provider_s_own_trouble() {
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
    }
}
