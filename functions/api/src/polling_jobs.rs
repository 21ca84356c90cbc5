//! Polling jobs over HTTP: create, list, look at, delete.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use shared::market::Timestamp;
use shared::repository::polling_jobs::{self, InsertError, PollingJob};
use shared::schedules::ScheduleError;
use uuid::Uuid;

use crate::cursor;
use crate::problem::{
    AlwaysProblems, BodyProblems, DatabaseProblems, Fault, JobNotFound, Problem, QueryProblems,
    ScheduleProblems, TooManyJobs,
};
use crate::query::{PageParameters, QueryParameters};
use crate::state::{AppState, Deadline, postgres};

mod answer;
mod request;

use answer::{AcceptedJob, JobAnswer, JobList};
use request::PollRequest;

/// What is left of a request's time for deleting a job whose schedule could not be created.
const UNDO_TIME: Duration = Duration::from_secs(1);

/// Poll symbols at an interval
///
/// The first tick is at the next whole second. Symbols are not checked with the provider: what it does not know shows
/// in the job's `last_run`.
#[utoipa::path(
    post,
    path = "/prices/poll",
    operation_id = "createPollingJob",
    tag = "polling jobs",
    request_body(content = PollRequest, content_type = "application/json"),
    responses(
        (
            status = ACCEPTED,
            body = AcceptedJob,
            description = "The job is stored and has its schedule",
            headers(("Location" = String, description = "Path of the job"))
        ),
        BodyProblems, TooManyJobs, ScheduleProblems, AlwaysProblems
    )
)]
pub(crate) async fn create(
    State(state): State<Arc<AppState>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let deadline = Deadline::of_request();
    let request = request::read(&state, &body?)?;
    let job = request.into_job(Uuid::new_v4(), Utc::now());
    let job = deadline.postgres(polling_jobs::insert(&state.db, &job, state.max_relay_jobs)).await?;
    schedule(&state, &job, deadline).await?;
    let location = format!("/prices/poll/{}", job.job_id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(AcceptedJob::from(job))).into_response())
}

/// Creates the job's schedule. Where that fails, the job goes again; should even that fail, reconciliation gives the
/// job its schedule later.
async fn schedule(state: &AppState, job: &PollingJob, deadline: Deadline) -> Result<(), Problem> {
    let create = Box::pin(state.schedules.create(job.job_id, job.interval_seconds, job.start_at));
    if let Err(error) = deadline.leaving(UNDO_TIME).schedules("create the schedule", create).await {
        let problem = schedules_away(job.job_id, &error);
        deadline.postgres(polling_jobs::delete(&state.db, job.job_id)).await?;
        return Err(problem);
    }
    Ok(())
}

fn schedules_away(job_id: Uuid, error: &ScheduleError) -> Problem {
    tracing::warn!(%job_id, %error, reason = error.reason, "a job and its schedule could not be changed together");
    Problem::schedules_away()
}

impl From<InsertError> for Problem {
    fn from(error: InsertError) -> Self {
        match error {
            InsertError::TooManyRelayJobs { limit } => Self::too_many_relay_jobs(limit),
            InsertError::Repository(error) => error.into(),
        }
    }
}

/// All polling jobs, in the order of their creation
#[utoipa::path(
    get,
    path = "/prices/poll",
    operation_id = "listPollingJobs",
    tag = "polling jobs",
    params(PageParameters),
    responses((status = OK, body = JobList, description = "A page of jobs"), QueryProblems, DatabaseProblems, AlwaysProblems)
)]
pub(crate) async fn list(State(state): State<Arc<AppState>>, uri: Uri) -> Result<Json<JobList>, Problem> {
    let mut query = QueryParameters::read::<PageParameters>(&uri);
    let limit = query.limit();
    let after = query.optional("cursor", position);
    query.finish(Some(()))?;
    let jobs = postgres(polling_jobs::list(&state.db, after, cursor::rows(limit))).await?;
    let (jobs, next_cursor) =
        cursor::page(jobs, limit, |last| cursor::encode(last.created_at.timestamp_micros(), last.job_id));
    let now = Utc::now();
    let items = jobs.into_iter().map(|job| JobAnswer::of(job, now)).collect();
    Ok(Json(JobList { items, next_cursor }))
}

fn position(text: &str) -> Result<(Timestamp, Uuid), &'static str> {
    cursor::decode(text, |created_at, job_id| Some((cursor::time(created_at)?, job_id.parse().ok()?)))
}

/// One polling job and how it goes
#[utoipa::path(
    get,
    path = "/prices/poll/{job_id}",
    operation_id = "getPollingJob",
    tag = "polling jobs",
    params(("job_id" = String, Path, format = "uuid", description = "The job's id")),
    responses((status = OK, body = JobAnswer, description = "The job"), QueryProblems, JobNotFound, DatabaseProblems, AlwaysProblems)
)]
pub(crate) async fn get(
    State(state): State<Arc<AppState>>,
    Path(job_id): Path<String>,
) -> Result<Json<JobAnswer>, Problem> {
    let job_id = job_id_of(&job_id)?;
    let job = postgres(polling_jobs::get(&state.db, job_id)).await?;
    let job = job.ok_or_else(|| Problem::no_job(job_id))?;
    Ok(Json(JobAnswer::of(job, Utc::now())))
}

/// Stop a polling job and delete it
///
/// Its prices stay.
#[utoipa::path(
    delete,
    path = "/prices/poll/{job_id}",
    operation_id = "deletePollingJob",
    tag = "polling jobs",
    params(("job_id" = String, Path, format = "uuid", description = "The job's id")),
    responses(
        (status = NO_CONTENT, description = "The job and its schedule are gone"),
        QueryProblems, JobNotFound, ScheduleProblems, AlwaysProblems
    )
)]
pub(crate) async fn delete(
    State(state): State<Arc<AppState>>,
    Path(job_id): Path<String>,
) -> Result<StatusCode, Problem> {
    let job_id = job_id_of(&job_id)?;
    let deadline = Deadline::of_request();
    let job = deadline.postgres(polling_jobs::get(&state.db, job_id)).await?;
    job.ok_or_else(|| Problem::no_job(job_id))?;
    let deleted = deadline.schedules("delete the schedule", state.schedules.delete(job_id)).await;
    deleted.map_err(|error| schedules_away(job_id, &error))?;
    deadline.postgres(polling_jobs::delete(&state.db, job_id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn job_id_of(text: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| {
        let message = "must be a UUID".to_owned();
        Problem::invalid(vec![Fault { location: "path.job_id".to_owned(), message }])
    })
}
