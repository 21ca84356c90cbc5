//! A job is made: its row, which nobody sees as yet, then its schedule, then the row is activated.
//!
//! Whatever fails before the activation has made nothing: a job that is not active is not polled, and upkeep removes it and
//! its schedule. So a 503 may be answered without knowing what became of the statement that got no answer.

use std::time::Duration;

use shared::repository::polling_jobs::{self, NewJob, Prepared};
use uuid::Uuid;

use super::schedules_away;
use crate::deadline::Deadline;
use crate::problem::Problem;
use crate::state::AppState;

/// What is left of a request's time for activating the job, or for taking it back.
const LAST_STEP_TIME: Duration = Duration::from_secs(1);
/// Pause before Postgres is asked again to activate the job.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Makes the job and its schedule; returns its id, which is that of an earlier job if the same request made one.
pub(super) async fn create(
    state: &AppState,
    job: &NewJob,
    key: Option<&str>,
    deadline: Deadline,
) -> Result<Uuid, Problem> {
    let prepared = polling_jobs::prepare(&state.db, job, key, state.max_relay_jobs);
    let Prepared {
        job_id,
        start_at,
        pending,
    } = deadline.postgres(prepared).await?;
    if !pending {
        return Ok(job_id);
    }
    let schedule = Box::pin(
        state
            .schedules
            .create(job_id, job.interval_seconds, start_at),
    );
    let scheduled = deadline
        .leaving(LAST_STEP_TIME)
        .schedules("create the schedule", schedule)
        .await;
    match scheduled {
        Ok(()) => activate(state, job_id, deadline).await?,
        Err(error) => {
            let problem = schedules_away(job_id, &error);
            take_back(state, job_id, deadline)
                .await
                .map_err(|_| problem)?;
        }
    }
    Ok(job_id)
}

/// Activates the job, as often as it takes to learn that it is.
async fn activate(state: &AppState, job_id: Uuid, deadline: Deadline) -> Result<(), Problem> {
    let activated = async {
        loop {
            match polling_jobs::activate(&state.db, job_id).await {
                Ok(activated) => return activated,
                Err(error) => {
                    tracing::warn!(%job_id, error = error.detail(), "trying again to activate a job");
                }
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    };
    match deadline.wait(activated).await {
        Some(true) => Ok(()),
        // Upkeep removed it, which it does with what is minutes old.
        Some(false) => Err(Problem::postgres_away()),
        None => Err(Problem::outcome_unknown(job_id)),
    }
}

/// Takes back a job that has got no schedule. Fine if the same request, sent again, has meanwhile made it.
async fn take_back(state: &AppState, job_id: Uuid, deadline: Deadline) -> Result<(), Problem> {
    if deadline
        .postgres(polling_jobs::withdraw(&state.db, job_id))
        .await?
    {
        return Err(Problem::schedules_away());
    }
    let made = deadline
        .postgres(polling_jobs::get(&state.db, job_id))
        .await?;
    made.map(|_| ()).ok_or_else(Problem::schedules_away)
}
