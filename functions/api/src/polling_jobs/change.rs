//! Changes a job: its row first, which pollers read before each tick, and then its schedule if the
//! interval is given.
//!
//! If the schedule cannot be changed, the job stays changed, the answer says so, and upkeep changes
//! the schedule. Sending the request again does, too.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use chrono::{TimeDelta, Utc};
use shared::market::Timestamp;
use shared::repository::polling_jobs::{self, ChangeError, PollingJob, Uncommitted};
use shared::repository::relays;
use shared::schedules::ScheduleError;
use uuid::Uuid;

use super::answer::JobAnswer;
use super::request::{self, JobPatch};
use super::{job_id_of, market_hours};
use crate::deadline::Deadline;
use crate::problem::{
    AlwaysProblems, BodyProblems, ChangeUnknown, JobNotFound, Problem, ScheduleProblems,
    TooManyJobs,
};
use crate::state::AppState;

/// The part of a request's time that is reserved for its schedule.
const SCHEDULE_TIME: Duration = Duration::from_secs(3);
/// How often the schedule follows a job that is changed again meanwhile. Upkeep does the rest.
const MOST_TURNS: u32 = 3;
/// How long a new grid's first tick may be past and still begin the schedule. EventBridge refuses a
/// start that is five minutes old.
const START_AGE: TimeDelta = TimeDelta::minutes(1);

/// Change a polling job
///
/// The changes take effect at the next tick. If the interval changes, the job's ticks begin anew at
/// the next whole second. Another interval or provider and other symbols end a back-off. The same
/// request may be sent again.
#[utoipa::path(
    patch,
    path = "/prices/poll/{job_id}",
    operation_id = "changePollingJob",
    tag = "polling jobs",
    params(("job_id" = String, Path, format = "uuid", description = "The job's id")),
    request_body(content((JobPatch = "application/json"), (JobPatch = "application/merge-patch+json"))),
    responses(
        (status = OK, body = JobAnswer, description = "The job as it is now, with its schedule"),
        BodyProblems, JobNotFound, TooManyJobs, ScheduleProblems, ChangeUnknown, AlwaysProblems
    )
)]
pub(crate) async fn change(
    State(state): State<Arc<AppState>>,
    Path(job_id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<JobAnswer>, Problem> {
    let job_id = job_id_of(&job_id)?;
    let change = request::read_change(&state, &body?)?;
    let deadline = Deadline::of_request();

    if change.provider.is_some() || change.market_hours.is_some() {
        let job = deadline
            .postgres(polling_jobs::get(&state.db, job_id))
            .await?;
        let job = job.ok_or_else(|| Problem::no_job(job_id))?;
        market_hours::check_change(&state, &job, &change)?;
    }

    let (limits, relay_jobs) = (&state.job_limits, state.relay_jobs);
    let changing = polling_jobs::change(&state.db, job_id, &change, limits, relay_jobs, Utc::now());
    let changed = of_change(job_id, deadline.leaving(SCHEDULE_TIME), changing).await?;

    if change.interval_seconds.is_some() {
        // Boxed, because the SDK's futures are large.
        Box::pin(follow(&state, changed.after.clone(), deadline)).await?;
    }
    Ok(Json(JobAnswer::of(changed.after, Utc::now())))
}

/// Waits for a change of a job, and commits it. Its outcome is unknown only if Postgres does not
/// answer the commit: nothing is changed before.
pub(super) async fn of_change<T>(
    job_id: Uuid,
    deadline: Deadline,
    change: impl Future<Output = Result<Option<Uncommitted<T>>, ChangeError>>,
) -> Result<T, Problem> {
    let written = deadline.postgres(change).await?;
    let written = written.ok_or_else(|| Problem::no_job(job_id))?;
    if deadline.left().is_zero() {
        return Err(Problem::database_unavailable());
    }

    match deadline.wait(written.commit()).await {
        Some(Ok(changed)) => Ok(changed),
        Some(Err(_)) | None => Err(Problem::change_unknown(job_id)),
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Limit(limit) => limit.into(),
            ChangeError::Repository(error) => error.into(),
        }
    }
}

/// Makes the schedule that of the job or its relay, and again if the job is changed or deleted
/// meanwhile.
async fn follow(state: &AppState, mut job: PollingJob, deadline: Deadline) -> Result<(), Problem> {
    let job_id = job.job_id;
    let behind = |error: ScheduleError| {
        tracing::warn!(%job_id, %error, reason = error.reason, "the schedule of job {job_id} does not follow it yet");
        Problem::schedule_behind(job_id)
    };

    for _ in 0..MOST_TURNS {
        put_schedule(state, &job, deadline).await?.map_err(behind)?;

        match deadline.wait(polling_jobs::get(&state.db, job_id)).await {
            Some(Ok(Some(current))) if current.grid() != job.grid() => job = current,
            Some(Ok(None)) => {
                let deleting = state.schedules.delete(job_id);
                let deleted = deadline.schedules("delete the schedule", deleting).await;
                deleted.map_err(behind)?;
                return Err(Problem::no_job(job_id));
            }
            // Unread, the job is very likely the same; upkeep compares the two.
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// Makes the schedule of the job. If a relay serves it, makes sure that the relay has one, and then
/// deletes the job's own: until then its firings serve the relay.
async fn put_schedule(
    state: &AppState,
    job: &PollingJob,
    deadline: Deadline,
) -> Result<Result<(), ScheduleError>, Problem> {
    let schedules = &state.schedules;
    if !job.grid().is_relayed() {
        let start_at = start_of(job, Utc::now());
        let put = Box::pin(schedules.put(job.job_id, job.interval_seconds, start_at));
        return Ok(deadline.schedules("update the schedule", put).await);
    }

    let relay = relays::of_job(&state.db, job.job_id);
    // Changed again or deleted meanwhile: whoever reads the job next finds that.
    let Some(relay) = deadline.postgres(relay).await? else {
        return Ok(Ok(()));
    };

    let replace = Box::pin(async {
        let first_firing = relay.first_firing(Utc::now());
        schedules.create_relay(relay.relay_id, first_firing).await?;
        schedules.delete(job.job_id).await
    });
    Ok(deadline.schedules("update the schedule", replace).await)
}

/// The first firing of a schedule that is made `now`: the grid's first tick, or its next firing if
/// that is past.
fn start_of(job: &PollingJob, now: Timestamp) -> Timestamp {
    if job.start_at + START_AGE > now {
        job.start_at
    } else {
        job.grid().firings().next_from(now)
    }
}
