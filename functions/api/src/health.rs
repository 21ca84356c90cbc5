//! `GET /health`: whether the parts that the api needs answer, asked all at once and each for a limited time.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::future::join_all;
use serde::Serialize;
use shared::market::ProviderName;
use shared::provider::Provider;
use shared::repository::series;
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;

use crate::problem::{self, AlwaysProblems};
use crate::state::AppState;

/// Longest that the check of Postgres or Kafka takes; a provider's probe has its own limit.
const CHECK_TIMEOUT: Duration = Duration::from_millis(2_500);
/// How long a provider is not asked again.
const PROBE_AGE: Duration = Duration::from_secs(30);

/// Whether the api can do its work.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "status": "ok",
    "default_provider": "yahoo",
    "checks": {
        "postgres": {"status": "ok"},
        "kafka": {"status": "ok"},
        "providers": {
            "yahoo": {"status": "unavailable", "detail": "yahoo did not answer within 10 s"},
            "replay": {"status": "ok"}
        }
    }
}))]
pub(crate) struct Health {
    /// `unavailable` when Postgres or Kafka is.
    status: Status,
    /// The provider that is asked where a request names none.
    default_provider: String,
    /// Each part by itself.
    checks: Checks,
}

/// The parts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Checks {
    /// The store.
    postgres: Check,
    /// The log.
    kafka: Check,
    /// The sources of quotes, asked at most every 30 s; their trouble does not make the api unavailable.
    providers: BTreeMap<String, Check>,
}

/// One part.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Check {
    /// Whether it answers.
    status: Status,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    detail: Option<String>,
}

/// Whether something answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// It does.
    Ok,
    /// It does not.
    Unavailable,
}

impl Check {
    fn of<E: Into<String>>(result: Result<(), E>) -> Self {
        match result {
            Ok(()) => Self { status: Status::Ok, detail: None },
            Err(detail) => Self { status: Status::Unavailable, detail: Some(detail.into()) },
        }
    }
}

/// Whether Postgres, Kafka and the providers answer
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "getHealth",
    tag = "operation",
    responses(
        (status = OK, body = Health, description = "Postgres and Kafka answer"),
        (status = SERVICE_UNAVAILABLE, body = Health, description = "Postgres or Kafka does not answer"),
        AlwaysProblems
    )
)]
pub(crate) async fn health(State(state): State<Arc<AppState>>) -> Response {
    let (postgres, kafka, providers) = tokio::join!(postgres(&state), kafka(&state), providers(&state));
    let working = [&postgres, &kafka].iter().all(|check| check.status == Status::Ok);
    let status = if working { Status::Ok } else { Status::Unavailable };
    let default_provider = state.providers.default_name().to_string();
    let health = Health { status, default_provider, checks: Checks { postgres, kafka, providers } };
    (problem::health_status(working), Json(health)).into_response()
}

async fn postgres(state: &AppState) -> Check {
    let check = async {
        series::check(&state.db).await.map_err(|error| {
            tracing::warn!(%error, "the check of Postgres failed");
            "does not answer, or has no schema yet".to_owned()
        })
    };
    Check::of(within(check).await)
}

async fn kafka(state: &AppState) -> Check {
    let check = async {
        state.log.check(CHECK_TIMEOUT).await.map_err(|error| {
            tracing::warn!(%error, "the check of Kafka failed");
            "does not answer, or lacks the topic of price events".to_owned()
        })
    };
    Check::of(within(check).await)
}

async fn within(check: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    timeout(CHECK_TIMEOUT, check).await.unwrap_or_else(|_| Err("did not answer in time".to_owned()))
}

async fn providers(state: &AppState) -> BTreeMap<String, Check> {
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
