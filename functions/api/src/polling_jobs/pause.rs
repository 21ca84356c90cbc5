//! Pauses and resumes jobs.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use chrono::Utc;
use shared::repository::polling_jobs;

use super::answer::JobAnswer;
use super::change::of_change;
use super::job_id_of;
use crate::deadline::Deadline;
use crate::problem::{
    AlwaysProblems, ChangeUnknown, DatabaseProblems, JobNotFound, Problem, QueryProblems,
};
use crate::state::AppState;

/// Pause a polling job
///
/// From now on no tick of it is polled; one that is being polled ends. A job that is paused already
/// stays so. The job keeps its schedule, whose firings poll nothing.
#[utoipa::path(
    post,
    path = "/prices/poll/{job_id}/pause",
    operation_id = "pausePollingJob",
    tag = "polling jobs",
    params(("job_id" = String, Path, format = "uuid", description = "The job's id")),
    responses(
        (status = OK, body = JobAnswer, description = "The job, which is paused"),
        QueryProblems, JobNotFound, DatabaseProblems, ChangeUnknown, AlwaysProblems
    )
)]
pub(crate) async fn pause(
    State(state): State<Arc<AppState>>,
    Path(job_id): Path<String>,
) -> Result<Json<JobAnswer>, Problem> {
    set_paused(&state, &job_id, true).await
}

/// Resume a paused polling job
///
/// It is polled again from its next tick on. Ticks of the pause are not caught up, and a back-off
/// from before it is over. A job that is not paused stays as it is.
#[utoipa::path(
    post,
    path = "/prices/poll/{job_id}/resume",
    operation_id = "resumePollingJob",
    tag = "polling jobs",
    params(("job_id" = String, Path, format = "uuid", description = "The job's id")),
    responses(
        (status = OK, body = JobAnswer, description = "The job, which is not paused"),
        QueryProblems, JobNotFound, DatabaseProblems, ChangeUnknown, AlwaysProblems
    )
)]
pub(crate) async fn resume(
    State(state): State<Arc<AppState>>,
    Path(job_id): Path<String>,
) -> Result<Json<JobAnswer>, Problem> {
    set_paused(&state, &job_id, false).await
}

/// Pauses the job, or ends its pause.
async fn set_paused(
    state: &AppState,
    job_id: &str,
    paused: bool,
) -> Result<Json<JobAnswer>, Problem> {
    let (job_id, now) = (job_id_of(job_id)?, Utc::now());

    let change = async {
        if paused {
            polling_jobs::pause(&state.db, job_id, now).await
        } else {
            polling_jobs::resume(&state.db, job_id, now).await
        }
    };
    let job = of_change(job_id, Deadline::of_request(), change).await?;
    Ok(Json(JobAnswer::of(job, Utc::now())))
}
