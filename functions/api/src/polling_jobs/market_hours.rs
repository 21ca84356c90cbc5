//! The field `market_hours`: which providers it can be used with.

use serde_json::Value;
use shared::market::{ProviderList, ProviderName};
use shared::provider::MarketHours;
use shared::repository::polling_jobs::{Change, PollingJob};

use super::request::fault;
use crate::problem::{Fault, Problem};
use crate::state::AppState;

/// The field of a body. It is false if it is absent.
pub(super) fn read(value: Option<&Value>, faults: &mut Vec<Fault>) -> bool {
    match value {
        None => false,
        Some(Value::Bool(market_hours)) => *market_hours,
        Some(_) => {
            faults.push(fault("body.market_hours", "must be true or false"));
            false
        }
    }
}

/// Checks that a job of these providers can be one with market hours. The first of them decides: it
/// is asked for every symbol.
pub(super) fn check(
    state: &AppState,
    providers: &ProviderList,
    market_hours: bool,
    faults: &mut Vec<Fault>,
) {
    let Some(first) = providers.iter().next().filter(|_| market_hours) else {
        return;
    };
    let told = state.providers.get(first).map(|first| first.market_hours());
    if told != Some(MarketHours::Unknown) {
        return;
    }

    let suitable = state.providers.names().filter(|name| {
        let provider = state.providers.get(name);
        provider.is_some_and(|provider| provider.market_hours() != MarketHours::Unknown)
    });
    let suitable: Vec<&str> = suitable.map(ProviderName::as_str).collect();
    let message = format!(
        "cannot be true: {first} does not tell when markets are open; name one of these first: {}",
        suitable.join(", ")
    );
    faults.push(fault("body.market_hours", &message));
}

/// Checks the same of a job as a change would leave it.
pub(super) fn check_change(
    state: &AppState,
    job: &PollingJob,
    change: &Change,
) -> Result<(), Problem> {
    let providers = change.provider.as_ref().unwrap_or(&job.provider);
    let market_hours = change.market_hours.unwrap_or(job.market_hours);

    let mut faults = Vec::new();
    check(state, providers, market_hours, &mut faults);
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Problem::invalid(faults))
    }
}
