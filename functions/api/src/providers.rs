//! `GET /providers`: the sources of quotes, what may still be asked of them, and whether their
//! breakers let requests pass.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::market::{ProviderName, Timestamp};
use shared::provider::{Limits, Provider};
use shared::repository::request_budgets::{ProviderState, WINDOWS, provider_states};
use utoipa::ToSchema;

use crate::deadline::postgres;
use crate::problem::{AlwaysProblems, DatabaseProblems, Problem};
use crate::state::AppState;

pub(crate) mod example;

/// The providers, the preferred one first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = example::answers)]
pub(crate) struct ProviderAnswers {
    items: Vec<ProviderAnswer>,
}

/// A provider and its current state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProviderAnswer {
    /// Its name.
    #[schema(value_type = String, example = "yahoo")]
    provider: ProviderName,
    #[serde(flatten)]
    state: ProviderStatus,
}

/// Whether a provider may be asked, and how often.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ProviderStatus {
    /// The state of its breaker.
    pub(crate) state: BreakerState,
    /// Why the breaker opened; null while it is closed.
    #[schema(required)]
    pub(crate) reason: Option<String>,
    /// When the breaker opened; null while it is closed.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    since: Option<Timestamp>,
    /// Until when the breaker is open; after that time one request probes. Null while it is closed.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub(crate) until: Option<Timestamp>,
    /// Its place among the providers that are asked if a request names none; null if it is none.
    #[schema(required, minimum = 1, maximum = 5)]
    default_place: Option<usize>,
    /// The variable that has to be set before it can be asked; null if none is missing.
    #[schema(value_type = Option<String>, required, example = "FINNHUB_API_KEY")]
    pub(crate) needs: Option<&'static str>,
    /// Most symbols in one request to it.
    #[schema(minimum = 1, example = 20)]
    symbols_per_request: usize,
    /// What is left of its budget in each window that is limited; empty if none is.
    budget: Vec<WindowBudget>,
}

/// The state of a provider's breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BreakerState {
    /// Requests pass.
    Closed,
    /// No request passes.
    Open,
    /// One request passes, the probe. Its result closes or opens the breaker.
    HalfOpen,
}

/// The budget of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
struct WindowBudget {
    /// `second`, `minute`, `hour` or `day`. A token that was taken comes back when a second, a
    /// minute, an hour or 24 hours have passed; if the provider counts days in UTC, at 00:00 UTC.
    #[schema(example = "minute")]
    window: &'static str,
    /// Most requests in the window, or symbols if the provider counts those.
    #[schema(minimum = 1, example = 60)]
    limit: u32,
    /// How many are left.
    #[schema(minimum = 0, example = 58)]
    left: u32,
}

impl ProviderStatus {
    /// The status of a provider, from its stored state if it was ever asked.
    fn of(provider: &dyn Provider, stored: Option<&ProviderState>, place: Option<usize>) -> Self {
        let until = stored.and_then(|stored| stored.open_until);
        let state = match (until, stored) {
            (Some(until), Some(stored)) if until > stored.read_at => BreakerState::Open,
            (Some(_), _) => BreakerState::HalfOpen,
            (None, _) => BreakerState::Closed,
        };
        let taken = stored.map_or(&[][..], |stored| &stored.taken_now);

        Self {
            state,
            reason: stored.and_then(|stored| stored.reason.clone()),
            since: stored.and_then(|stored| stored.open_since),
            until,
            default_place: place,
            needs: provider.needs(),
            symbols_per_request: provider.max_symbols(),
            budget: budget(&provider.limits(), taken),
        }
    }
}

/// `taken` has the tokens of the last day in its fourth place, and those of the day in UTC in its
/// fifth.
fn budget(limits: &Limits, taken: &[i64]) -> Vec<WindowBudget> {
    let day = if limits.utc_day { 4 } else { 3 };
    let of_place = |place: usize| taken.get(place).copied().unwrap_or(0);
    let taken = [0, 1, 2, day].map(of_place);
    let limits = limits.of_windows().into_iter();

    WINDOWS
        .into_iter()
        .zip(limits.zip(taken))
        .filter_map(|(window, (limit, taken))| {
            let limit = limit?;
            let taken = u32::try_from(taken).unwrap_or(u32::MAX);
            let left = limit.saturating_sub(taken);
            Some(WindowBudget {
                window,
                limit,
                left,
            })
        })
        .collect()
}

/// The status of every provider, in the order of their preference.
pub(crate) async fn statuses(
    state: &AppState,
) -> Result<Vec<(Arc<dyn Provider>, ProviderStatus)>, Problem> {
    let stored: HashMap<String, ProviderState> = postgres(provider_states(&state.db))
        .await?
        .into_iter()
        .map(|stored| (stored.owner.clone(), stored))
        .collect();
    let place = |name: &ProviderName| {
        let mut defaults = state.providers.default_list().iter();
        defaults
            .position(|listed| listed == name)
            .map(|index| index + 1)
    };

    let known = state
        .providers
        .names()
        .filter_map(|name| state.providers.get(name));
    Ok(known
        .map(|provider| {
            let name = provider.name();
            let stored = stored.get(name.as_str());
            let status = ProviderStatus::of(provider.as_ref(), stored, place(name));
            (provider, status)
        })
        .collect())
}

/// The providers, their budgets and their breakers
///
/// A breaker opens if its provider limits us, refuses our key, or fails repeatedly. It holds for
/// all instances of the api and the poller.
#[utoipa::path(
    get,
    path = "/providers",
    operation_id = "listProviders",
    tag = "operation",
    responses(
        (status = OK, body = ProviderAnswers, description = "Every provider"),
        DatabaseProblems, AlwaysProblems
    )
)]
pub(crate) async fn providers(
    State(state): State<Arc<AppState>>,
) -> Result<Json<ProviderAnswers>, Problem> {
    let answer = |(provider, state): (Arc<dyn Provider>, ProviderStatus)| ProviderAnswer {
        provider: provider.name().clone(),
        state,
    };
    let items = statuses(&state).await?.into_iter().map(answer).collect();

    Ok(Json(ProviderAnswers { items }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_for_limited_windows_only_and_is_never_less_than_nothing() {
        let limits = Limits {
            per_minute: Some(60),
            per_day: Some(5),
            ..Limits::unlimited(1)
        };
        let left_of = |limits: &Limits, taken: &[i64]| {
            let budget = budget(limits, taken);
            budget
                .iter()
                .map(|window| (window.window, window.left))
                .collect::<Vec<_>>()
        };
        let left = |taken: &[i64]| left_of(&limits, taken);

        let utc = Limits {
            utc_day: true,
            ..limits
        };
        assert_eq!(
            left_of(&utc, &[1, 2, 3, 9, 1]),
            [("minute", 58), ("day", 4)]
        );
        assert_eq!(left(&[]), [("minute", 60), ("day", 5)]);
        assert_eq!(left(&[1, 2, 3, 9, 1]), [("minute", 58), ("day", 0)]);
    }
}
