//! Polling jobs over HTTP: create, list, get, delete. The submodules do the rest.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use shared::market::{Symbol, Timestamp};
use shared::repository::polling_jobs::{self, Filter, InsertError, JobStatus};
use shared::schedules::ScheduleError;
use uuid::Uuid;

use crate::cursor;
use crate::deadline::{Deadline, postgres};
use crate::paging::links;
use crate::problem::{
    AlwaysProblems, BodyProblems, DatabaseProblems, Fault, JobNotFound, OutcomeUnknown, Problem,
    QueryProblems, ScheduleProblems, TooManyJobs,
};
use crate::query::QueryParameters;
use crate::state::AppState;

mod answer;
pub(crate) mod change;
mod creation;
mod idempotency_key;
mod market_hours;
pub(crate) mod pause;
mod request;
pub(crate) mod run;
pub(crate) mod runs;

use answer::{AcceptedJob, JobAnswer, JobList};
use idempotency_key::IdempotencyKey;
use request::PollRequest;

/// Poll symbols at an interval
///
/// The first tick is at the next whole second. Symbols are not checked with the provider: if it
/// does not know one, the job's `last_run` shows it.
///
/// A 503 means that no job was created. To be able to repeat a request after a 504, or after no
/// answer at all, give it an `Idempotency-Key`: the same request is answered as the first time, also
/// if the job was changed since. If it was deleted, the answer is a 422.
#[utoipa::path(
    post,
    path = "/prices/poll",
    operation_id = "createPollingJob",
    tag = "polling jobs",
    params((
        "Idempotency-Key" = inline(Option<IdempotencyKey>), Header,
        description = "Names the request: for 24 hours the same request with the same key is answered with the same job, \
                       and another request with it is a 422"
    )),
    request_body(content = PollRequest, content_type = "application/json"),
    responses(
        (
            status = ACCEPTED,
            body = AcceptedJob,
            description = "The job is stored and has its schedule",
            headers(("Location" = String, description = "Path of the job"))
        ),
        BodyProblems, TooManyJobs, ScheduleProblems, OutcomeUnknown, AlwaysProblems
    )
)]
pub(crate) async fn create(
    State(state): State<Arc<AppState>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let deadline = Deadline::of_request();
    let key = idempotency_key::read(&headers)?;
    let job = request::read(&state, &body?)?.into_job(Uuid::new_v4(), Utc::now());

    let job_id = creation::create(&state, &job, key, deadline).await?;

    let location = format!("/prices/poll/{job_id}");
    let accepted = AcceptedJob::of(job_id, job);
    Ok((
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        Json(accepted),
    )
        .into_response())
}

fn scheduler_unavailable(job_id: Uuid, error: &ScheduleError) -> Problem {
    tracing::warn!(%job_id, %error, reason = error.reason, "job {job_id} and its schedule could not be changed together");
    Problem::scheduler_unavailable()
}

impl From<InsertError> for Problem {
    fn from(error: InsertError) -> Self {
        match error {
            InsertError::Limit(limit) => limit.into(),
            InsertError::KeyOfAnotherRequest { job_id } => Self::key_of_another_request(job_id),
            InsertError::KeyOfDeletedJob { job_id } => Self::key_of_deleted_job(job_id),
            InsertError::Repository(error) => error.into(),
        }
    }
}

/// The parameters of the list.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "the contract's side of the parameters, which the handler reads"
)]
pub(crate) struct ListParameters {
    /// Only jobs with this status.
    #[param(required = false, inline)]
    status: JobStatus,
    /// Only jobs that poll this symbol; case is ignored.
    #[param(
        required = false,
        min_length = 1,
        max_length = 32,
        pattern = "^[!-~]+$",
        example = "AAPL"
    )]
    symbol: String,
    /// Most items in one answer.
    #[param(required = false, minimum = 1, maximum = 1_000, default = 100)]
    limit: usize,
    /// `next_cursor` of the previous page.
    #[param(required = false)]
    cursor: String,
}

/// All polling jobs, in the order of their creation
#[utoipa::path(
    get,
    path = "/prices/poll",
    operation_id = "listPollingJobs",
    tag = "polling jobs",
    params(ListParameters),
    responses((status = OK, body = JobList, description = "A page of jobs", headers(("Link" = String, description = "The next page, as `rel=\"next\"`"))), QueryProblems, DatabaseProblems, AlwaysProblems)
)]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    uri: Uri,
) -> Result<(HeaderMap, Json<JobList>), Problem> {
    let mut query = QueryParameters::read::<ListParameters>(&uri);
    let filter = Filter {
        status: query.optional("status", status),
        symbol: query
            .optional("symbol", str::parse::<Symbol>)
            .map(|symbol| symbol.to_upper_case()),
    };
    let limit = query.limit();
    let after = query.optional("cursor", position);
    query.finish(Some(()))?;

    let now = Utc::now();
    let rows = cursor::rows(limit);
    let jobs = postgres(polling_jobs::search(&state.db, &filter, now, after, rows)).await?;
    let (jobs, next_cursor) = cursor::page(jobs, limit, |last| {
        cursor::encode(last.created_at.timestamp_micros(), last.job_id)
    });

    let items = jobs
        .into_iter()
        .map(|job| JobAnswer::of(job, now))
        .collect();
    let links = links(&uri, next_cursor.as_deref());
    Ok((links, Json(JobList { items, next_cursor })))
}

fn status(text: &str) -> Result<JobStatus, String> {
    let known = JobStatus::ALL
        .into_iter()
        .find(|status| status.as_str() == text);
    known.ok_or_else(|| {
        let words = JobStatus::ALL.map(JobStatus::as_str).join(", ");
        format!("is not a status; these are: {words}")
    })
}

fn position(text: &str) -> Result<(Timestamp, Uuid), &'static str> {
    cursor::decode(text, |created_at, job_id| {
        Some((cursor::time(created_at)?, job_id.parse().ok()?))
    })
}

/// One polling job and its current state
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
/// Its prices are kept. Its runs are no longer shown, and are removed soon after.
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

    let job = deadline
        .postgres(polling_jobs::get(&state.db, job_id))
        .await?;
    job.ok_or_else(|| Problem::no_job(job_id))?;

    // The schedule before the row: if this fails, the job still exists, and the client can repeat
    // the request.
    let deleted = deadline
        .schedules("delete the schedule", state.schedules.delete(job_id))
        .await;
    deleted.map_err(|error| scheduler_unavailable(job_id, &error))?;

    deadline
        .postgres(polling_jobs::delete(&state.db, job_id))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn job_id_of(text: &str) -> Result<Uuid, Problem> {
    uuid_of(text, "path.job_id")
}

/// The id at this location of the request.
fn uuid_of(text: &str, location: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| {
        let message = "must be a UUID".to_owned();
        Problem::invalid(vec![Fault {
            location: location.to_owned(),
            message,
        }])
    })
}
