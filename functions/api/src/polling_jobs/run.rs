//! Polls a job now, once, because a request asks for it.
//!
//! The run is stored first, and then the poller is invoked. If that fails, the run waits: the same
//! request invokes the poller again. Upkeep closes a run that no request asks for again.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde::Serialize;
use shared::invocations::InvocationError;
use shared::market::Timestamp;
use shared::repository::polling_runs::{self, RequestedRun, RunStatus};
use utoipa::ToSchema;
use uuid::Uuid;

use super::idempotency_key::{self, IdempotencyKey};
use super::job_id_of;
use crate::deadline::Deadline;
use crate::problem::{AlwaysProblems, JobNotFound, Problem, QueryProblems, RunProblems};
use crate::state::AppState;

/// The part of a request's time that is reserved for invoking the poller.
const INVOKING: Duration = Duration::from_secs(3);

/// A run that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RequestedAnswer {
    /// The run's id.
    #[schema(value_type = String, format = "uuid", example = "018e5b6d-1b60-8000-b42d-00cf4fc964ff")]
    run_id: Uuid,
    /// The job's id.
    #[schema(value_type = String, format = "uuid", example = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff")]
    job_id: Uuid,
    /// `requested`; or, if the request was sent again, what has become of the run since.
    #[schema(example = "requested")]
    status: RunStatus,
    /// When the run was asked for.
    #[schema(value_type = String, format = DateTime, example = "2024-03-20T10:29:36.25Z")]
    requested_at: Timestamp,
}

/// Poll a job now, once
///
/// The run is one beside the ticks: they stay where they are, and the job may be paused or backing
/// off. A success ends a back-off; a failure does not lengthen it. Requests within ten seconds share
/// a run that still waits. `Location` is the path of the run, which has its outcome.
#[utoipa::path(
    post,
    path = "/prices/poll/{job_id}/run",
    operation_id = "runPollingJob",
    tag = "polling jobs",
    params(
        ("job_id" = String, Path, format = "uuid", description = "The job's id"),
        (
            "Idempotency-Key" = inline(Option<IdempotencyKey>), Header,
            description = "Names the request: for 24 hours the same key is answered with the same run, and with another \
                           job it is a 422"
        )
    ),
    responses(
        (
            status = ACCEPTED,
            body = RequestedAnswer,
            description = "The run is stored, and a poller is invoked for it",
            headers(("Location" = String, description = "Path of the run"))
        ),
        QueryProblems, JobNotFound, RunProblems, AlwaysProblems
    )
)]
pub(crate) async fn run(
    State(state): State<Arc<AppState>>,
    Path(job_id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let job_id = job_id_of(&job_id)?;
    let key = idempotency_key::read(&headers)?;
    let deadline = Deadline::of_request();

    let requesting = polling_runs::request(&state.db, job_id, key, Utc::now());
    let run = deadline.leaving(INVOKING).postgres(requesting).await?;
    let RequestedRun { time, status } = run.ok_or_else(|| Problem::no_job(job_id))?;
    let run_id = polling_runs::run_id(job_id, time);

    if status == RunStatus::Requested {
        // Boxed, because the SDK's futures are large.
        let invoked = Box::pin(deadline.wait(state.poller.poll(job_id, time))).await;
        let late = || InvocationError::Unavailable("the request's time was up".to_owned());
        invoked.unwrap_or_else(|| Err(late())).map_err(|error| {
            tracing::warn!(%job_id, %run_id, %error, "cannot invoke the poller for the run {run_id} of job {job_id}");
            Problem::poller_unavailable(run_id, &error)
        })?;
    }

    let location = format!("/prices/poll/{job_id}/runs/{run_id}");
    let answer = RequestedAnswer {
        run_id,
        job_id,
        status,
        requested_at: time,
    };
    Ok((
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        Json(answer),
    )
        .into_response())
}
