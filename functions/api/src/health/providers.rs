//! Whether the sources of quotes answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use shared::market::ProviderName;
use shared::provider::Provider;
use tokio::time::Instant;

use super::Check;
use crate::state::AppState;

/// How long a provider is not asked again.
const PROBE_AGE: Duration = Duration::from_secs(30);

pub(super) async fn check(state: &AppState) -> BTreeMap<String, Check> {
    let probes = &state.observed.probes;
    let known = state.providers.names().filter_map(|name| state.providers.get(name));
    let checks =
        known.map(|provider| async move { (provider.name().to_string(), probes.check(&provider).await) });
    join_all(checks).await.into_iter().collect()
}

/// What the providers answered lately.
#[derive(Debug, Default)]
pub(crate) struct ProviderProbes {
    latest: Mutex<HashMap<ProviderName, (Instant, Check)>>,
}

impl ProviderProbes {
    async fn check(&self, provider: &Arc<dyn Provider>) -> Check {
        if let Some(check) = self.fresh(provider.name()) {
            return check;
        }
        let check = Check::of(provider.probe().await.map_err(|error| error.to_string()));
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.insert(provider.name().clone(), (Instant::now(), check.clone()));
        check
    }

    fn fresh(&self, provider: &ProviderName) -> Option<Check> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.get(provider).filter(|(at, _)| at.elapsed() < PROBE_AGE).map(|(_, check)| check.clone())
    }
}
