//! Whether the sources of quotes answer.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use shared::provider::Provider;

use super::Check;
use crate::state::AppState;

/// How long the result of a provider's probe is used again.
const PROBE_AGE: Duration = Duration::from_secs(30);

pub(super) async fn check(state: &AppState) -> BTreeMap<String, Check> {
    let known = state
        .providers
        .names()
        .filter_map(|name| state.providers.get(name));
    let checks = known.map(|provider| async move {
        (
            provider.name().to_string(),
            probe(state, provider.as_ref()).await,
        )
    });

    join_all(checks).await.into_iter().collect()
}

async fn probe(state: &AppState, provider: &dyn Provider) -> Check {
    let probes = &state.observed.probes;
    if let Some(check) = probes.younger_than(PROBE_AGE, provider.name()) {
        return check;
    }

    let check = Check::of(provider.probe().await.map_err(|error| error.to_string()));
    probes.remember(provider.name().clone(), check.clone());
    check
}
