//! `GET /health`: whether the parts that the api needs answer, and whether the work behind the api
//! is done. All checks run at the same time, and each for a limited time.
//!
//! 503 means that this api cannot do its work. Delays elsewhere are reported with a 200: taking an
//! api out of service, or restarting it, does not help an averager that is behind.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use shared::repository::schema;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::access::Caller;
use crate::problem::{self, AlwaysProblems};
use crate::representation::KEEP_NOTHING;
use crate::state::AppState;

mod averaging;
pub(crate) mod check;
mod jobs;
mod providers;
mod upkeep;

use averaging::Averaging;
use check::{Check, Status};
use jobs::Jobs;
use providers::ProviderCheck;
use upkeep::Upkeep;

/// Longest that a check may take; a provider's probe has its own limit.
const CHECK_TIMEOUT: Duration = Duration::from_millis(2_500);

/// Whether the api can do its work, and whether the work behind it is done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "status": "ok",
    "default_provider": "yahoo,finnhub",
    "checks": {
        "postgres": {"status": "ok"},
        "kafka": {"status": "ok"},
        "averaging": {"status": "ok", "partitions": [{"partition": 0, "records_behind": 0, "seconds_behind": 0}]},
        "upkeep": {"status": "ok", "last_success_at": "2024-03-20T10:30:00Z"},
        "jobs": {"status": "ok", "stalled": 0, "job_ids": []},
        "providers": {"yahoo": ProviderCheck::limiting_us(), "finnhub": ProviderCheck::working()}
    }
}))]
pub(crate) struct Health {
    /// `unavailable` if Postgres or Kafka is; otherwise `degraded` if `averaging`, `upkeep` or
    /// `jobs` is; otherwise `ok`.
    status: Status,
    /// The providers that are asked, in this order, if a request names none. Only senders with a key,
    /// or on this machine, get it, and `checks`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    default_provider: Option<String>,
    /// The result of each check.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    checks: Option<Checks>,
}

/// The result of each check.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Checks {
    /// Whether Postgres answers and has the schema of this version.
    postgres: Check,
    /// Whether Kafka answers and has the topic of price events.
    kafka: Check,
    /// Whether published events are averaged; `degraded` if a record waits for more than a minute.
    averaging: Averaging,
    /// Whether upkeep succeeds; `degraded` if it has not succeeded for half an hour.
    upkeep: Upkeep,
    /// Whether polling jobs are polled; `degraded` if a job is stalled.
    jobs: Jobs,
    /// Every provider, with what `GET /providers` says of it. Those of `DEFAULT_PROVIDER` are
    /// asked, each at most every 30 s, unless their budget counts per day; others count as `ok`. A
    /// provider is `unavailable` without being asked if it lacks its key or its breaker is not
    /// closed. The status of a provider does not change that of the api.
    providers: BTreeMap<String, ProviderCheck>,
}

/// Whether Postgres, Kafka and the providers answer, and events are averaged
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "getHealth",
    tag = "operation",
    responses(
        (status = OK, body = Health, description = "Postgres and Kafka answer; `status` says whether the other checks succeed"),
        (status = SERVICE_UNAVAILABLE, body = Health, description = "Postgres or Kafka does not answer"),
        AlwaysProblems
    )
)]
pub(crate) async fn health(
    State(state): State<Arc<AppState>>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let (postgres, kafka, averaging, upkeep, jobs, providers) = tokio::join!(
        postgres(&state),
        kafka(&state),
        averaging::check(&state),
        upkeep::check(&state),
        jobs::check(&state),
        providers::check(&state),
    );

    let needed = [postgres.status, kafka.status];
    let working = needed.iter().all(|status| *status == Status::Ok);

    let unseen = [
        averaging.check.status,
        upkeep.check.status,
        jobs.check.status,
    ];
    let well = unseen.iter().all(|status| *status == Status::Ok);

    let status = match (working, well) {
        (true, true) => Status::Ok,
        (true, false) => Status::Degraded,
        (false, _) => Status::Unavailable,
    };

    let default_provider = state.providers.default_list().to_string();
    let checks = Checks {
        postgres,
        kafka,
        averaging,
        upkeep,
        jobs,
        providers,
    };

    (
        problem::health_status(working),
        [(header::CACHE_CONTROL, KEEP_NOTHING)],
        Json(Health {
            status,
            default_provider: Some(default_provider).filter(|_| caller.sees_details),
            checks: Some(checks).filter(|_| caller.sees_details),
        }),
    )
        .into_response()
}

async fn postgres(state: &AppState) -> Check {
    let check = async {
        schema::check(&state.db).await.map_err(|error| {
            tracing::warn!(%error, "the check of Postgres failed");
            "does not answer, or its schema is not up to date yet".to_owned()
        })
    };

    Check::of(within(check).await)
}

async fn kafka(state: &AppState) -> Check {
    let check = async {
        state.price_log.check(CHECK_TIMEOUT).await.map_err(|error| {
            tracing::warn!(%error, "the check of Kafka failed");
            "does not answer, or lacks the topic of price events".to_owned()
        })
    };

    Check::of(within(check).await)
}

async fn within<T>(check: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    timeout(CHECK_TIMEOUT, check)
        .await
        .unwrap_or_else(|_| Err("did not answer in time".to_owned()))
}
