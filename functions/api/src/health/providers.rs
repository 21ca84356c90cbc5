//! Whether the sources of quotes can be asked, and answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde::Serialize;
use shared::acquisition::probe;
use shared::provider::{Provider, ProviderError};
use utoipa::ToSchema;

use super::Check;
use crate::providers::{BreakerState, ProviderStatus, example, statuses};
use crate::state::AppState;

/// How long the result of a provider's probe is used again.
const PROBE_AGE: Duration = Duration::from_secs(30);

/// Whether a provider can be asked, and answers.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ProviderCheck {
    #[serde(flatten)]
    check: Check,
    /// Its budget and its breaker; absent if Postgres, where they are, does not answer.
    #[serde(flatten)]
    state: Option<ProviderStatus>,
}

impl ProviderCheck {
    /// The contract's example of a provider that is not asked because its breaker is open.
    pub(super) fn limiting_us() -> Self {
        let status = example::limiting_us();
        Self {
            check: Check::of(Err(status.reason.as_deref().unwrap_or_default())),
            state: Some(status),
        }
    }

    /// The contract's example of a provider that answers.
    pub(super) fn working() -> Self {
        Self {
            check: Check::ok(),
            state: Some(example::working()),
        }
    }
}

pub(super) async fn check(state: &AppState) -> BTreeMap<String, ProviderCheck> {
    let known: Vec<(Arc<dyn Provider>, Option<ProviderStatus>)> = match statuses(state).await {
        Ok(statuses) => statuses
            .into_iter()
            .map(|(provider, status)| (provider, Some(status)))
            .collect(),
        Err(_) => {
            let names = state.providers.names();
            names
                .filter_map(|name| Some((state.providers.get(name)?, None)))
                .collect()
        }
    };

    let checks = known.into_iter().map(|(provider, status)| async move {
        let check = of_provider(state, provider.as_ref(), status.as_ref()).await;
        let check = ProviderCheck {
            check,
            state: status,
        };
        (provider.name().to_string(), check)
    });
    join_all(checks).await.into_iter().collect()
}

/// A provider that lacks its key, or whose breaker is open, is not asked. Neither is one whose
/// budget counts per day, because checks would use it up, nor one that requests do not ask by
/// default.
async fn of_provider(
    state: &AppState,
    provider: &dyn Provider,
    status: Option<&ProviderStatus>,
) -> Check {
    if let Some(variable) = provider.needs() {
        return Check::of(Err(format!("needs {variable}")));
    }
    if let Some(status) = status.filter(|status| status.state != BreakerState::Closed) {
        let reason = status.reason.as_deref().unwrap_or("its breaker is open");
        return Check::of(Err(reason));
    }
    let is_default = state.providers.default_list().contains(provider.name());
    if provider.limits().per_day.is_some() || !is_default {
        return Check::ok();
    }

    // Without its breaker and its budget it must not be asked.
    if status.is_none() {
        let detail = "Postgres does not tell whether it may be asked".to_owned();
        return Check::degraded(Some(detail));
    }
    let probes = &state.observed.probes;
    if let Some(check) = probes.younger_than(PROBE_AGE, provider.name()) {
        return check;
    }

    let answered = probe(&state.db, &state.observed.instance, provider).await;
    let check = match answered {
        // It was not asked, because of our own limits.
        Err(error @ ProviderError::Paused { .. }) => Check::degraded(Some(error.to_string())),
        answered => Check::of(answered.map_err(|error| error.to_string())),
    };
    probes.remember(provider.name().clone(), check.clone());
    check
}
