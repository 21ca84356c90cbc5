//! The contract's examples of providers.

use shared::market::Timestamp;
use shared::provider::{FINNHUB, YAHOO};

use super::{BreakerState, ProviderAnswer, ProviderAnswers, ProviderStatus, WindowBudget};

/// A provider whose breaker is open, and one that can be asked.
pub(super) fn answers() -> ProviderAnswers {
    let answer = |name: &str, state| ProviderAnswer {
        provider: name.parse().expect("our own names are names"),
        state,
    };

    ProviderAnswers {
        items: vec![answer(YAHOO, limiting_us()), answer(FINNHUB, working())],
    }
}

/// Yahoo, whose breaker is open.
pub(crate) fn limiting_us() -> ProviderStatus {
    ProviderStatus {
        state: BreakerState::Open,
        reason: Some("yahoo limits our requests".to_owned()),
        since: Some(time("2024-03-20T10:30:00Z")),
        until: Some(time("2024-03-20T10:45:00Z")),
        default_place: Some(1),
        needs: None,
        symbols_per_request: 20,
        budget: vec![window("second", 4, 4), window("minute", 60, 52)],
    }
}

/// Finnhub, which can be asked.
pub(crate) fn working() -> ProviderStatus {
    ProviderStatus {
        state: BreakerState::Closed,
        reason: None,
        since: None,
        until: None,
        default_place: Some(2),
        needs: None,
        symbols_per_request: 1,
        budget: vec![window("second", 30, 30), window("minute", 60, 58)],
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn window(window: &'static str, limit: u32, left: u32) -> WindowBudget {
    WindowBudget {
        window,
        limit,
        left,
    }
}
