use std::time::Duration;

use shared::price_log::PublishError;

use super::*;

#[test]
fn a_run_names_a_failure_as_an_answer_does() {
    let provider = || "yahoo".parse().unwrap();
    let symbol = || "AAPL".parse().unwrap();
    let reason = String::new;
    let errors = [
        ProviderError::UnknownSymbol {
            symbol: symbol(),
            provider: provider(),
        },
        ProviderError::NoPrice {
            symbol: symbol(),
            provider: provider(),
            reason: reason(),
        },
        ProviderError::RateLimited {
            provider: provider(),
            retry_after: None,
            scope: None,
        },
        ProviderError::NotAllowed {
            provider: provider(),
            refusal: Refusal::Plan,
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
    let log = PublishError::Unavailable(reason());
    let losses = errors.map(Loss::Provider).into_iter();

    for loss in losses.chain([Loss::Log(log), Loss::OutOfTime]) {
        let kind = format!("/docs#{}", loss.kind());
        assert_eq!(Problem::from(loss).kind, kind);
    }
}
