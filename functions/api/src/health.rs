//! `GET /health`: whether the parts that the api needs answer, and whether the work behind the api
//! is done. All checks run at the same time, and each for a limited time.
//!
//! 503 means that this api cannot do its work. Delays elsewhere are reported with a 200: taking an
//! api out of service, or restarting it, does not help an averager that is behind.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::repository::series;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::problem::{self, AlwaysProblems};
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
    "default_provider": "yahoo",
    "checks": {
        "postgres": {"status": "ok"},
        "kafka": {"status": "ok"},
        "averaging": {"status": "ok", "partitions": [{"partition": 0, "records_behind": 0, "seconds_behind": 0}]},
        "upkeep": {"status": "ok", "last_success_at": "2026-11-22T19:40:00Z"},
        "jobs": {"status": "ok", "stalled": 0, "job_ids": []},
        "providers": {
            "yahoo": {
                "status": "unavailable", "detail": "yahoo limits our requests", "state": "open",
                "reason": "yahoo limits our requests", "since": "2026-11-22T19:30:00Z",
                "until": "2026-11-22T19:45:00Z", "default_place": 1, "needs": null, "symbols_per_request": 20,
                "budget": [{"window": "second", "limit": 1, "left": 1}]
            },
            "replay": {
                "status": "ok", "state": "closed", "reason": null, "since": null, "until": null,
                "default_place": null, "needs": null, "symbols_per_request": 500, "budget": []
            }
        }
    }
}))]
pub(crate) struct Health {
    /// `unavailable` if Postgres or Kafka is; otherwise `degraded` if `averaging`, `upkeep` or
    /// `jobs` is; otherwise `ok`.
    status: Status,
    /// The providers that are asked, in this order, if a request names none.
    default_provider: String,
    /// The result of each check.
    checks: Checks,
}

/// The result of each check.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Checks {
    /// Whether Postgres answers and has its schema.
    postgres: Check,
    /// Whether Kafka answers and has the topic of price events.
    kafka: Check,
    /// Whether published events are averaged; `degraded` if a record waits for more than a minute.
    averaging: Averaging,
    /// Whether upkeep succeeds; `degraded` if it has not succeeded for half an hour.
    upkeep: Upkeep,
    /// Whether polling jobs are polled; `degraded` if a job is stalled.
    jobs: Jobs,
    /// Whether the default providers answer, each asked at most every 30 s, and not if its breaker
    /// is open or its budget counts per day; and what `GET /providers` says of them. Their failures
    /// do not change the api's status.
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
pub(crate) async fn health(State(state): State<Arc<AppState>>) -> Response {
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
        Json(Health {
            status,
            default_provider,
            checks,
        }),
    )
        .into_response()
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
