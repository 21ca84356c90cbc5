//! Creates a job in three steps: its row, which no reader sees yet; its schedule or its relay's; the
//! activation of the row.
//!
//! If a step before the activation fails, no job exists: a job that is not active is not polled,
//! and upkeep removes it and its schedule. So the answer may be a 503 even if the result of a
//! statement without an answer is unknown.

use std::time::Duration;

use chrono::Utc;
use shared::repository::polling_jobs::{self, NewJob, Prepared};
use uuid::Uuid;

use super::scheduler_unavailable;
use crate::deadline::Deadline;
use crate::problem::Problem;
use crate::state::AppState;

/// The part of a request's time that is reserved for activating the job, or for withdrawing it.
const LAST_STEP_TIME: Duration = Duration::from_secs(1);
/// Pause before the activation is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Creates the job and its schedule. Returns its id: that of an earlier job if the same request,
/// with the same key, created one.
pub(super) async fn create(
    state: &AppState,
    job: &NewJob,
    key: Option<&str>,
    deadline: Deadline,
) -> Result<Uuid, Problem> {
    let prepared = polling_jobs::prepare(&state.db, job, key, &state.job_limits, state.relay_jobs);
    let Prepared {
        job_id,
        start_at,
        relay,
        pending,
        again,
    } = deadline.postgres(prepared).await?;
    if !pending {
        return Ok(job_id);
    }

    // The schedule before the activation, so that an active job has its schedule. A firing that
    // comes before the activation finds the job pending, and waits for it.
    // The relay's schedule is requested each time: if it exists, that is a success.
    let schedule = async {
        let schedules = &state.schedules;
        match relay {
            Some(relay) => {
                let firing = relay.first_firing(Utc::now());
                Box::pin(schedules.create_relay(relay.relay_id, firing)).await
            }
            // An earlier attempt may have left a schedule with another start.
            None if again => {
                Box::pin(schedules.create_or_replace(job_id, job.interval_seconds, start_at)).await
            }
            None => Box::pin(schedules.create(job_id, job.interval_seconds, start_at)).await,
        }
    };
    let scheduled = deadline
        .leaving(LAST_STEP_TIME)
        .schedules("create the schedule", schedule)
        .await;

    match scheduled {
        Ok(()) => activate(state, job_id, deadline).await?,
        Err(error) => {
            let problem = scheduler_unavailable(job_id, &error);
            take_back(state, job_id, deadline)
                .await
                .map_err(|_| problem)?;
        }
    }

    Ok(job_id)
}

/// Activates the job, and repeats it until Postgres answers or the time is up.
async fn activate(state: &AppState, job_id: Uuid, deadline: Deadline) -> Result<(), Problem> {
    let activated = async {
        loop {
            match polling_jobs::activate(&state.db, job_id).await {
                Ok(activated) => return activated,
                Err(error) => {
                    tracing::warn!(%job_id, error = error.detail(), "trying again to activate job {job_id}");
                }
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    };

    match deadline.wait(activated).await {
        Some(true) => Ok(()),
        // The row is gone: upkeep removed it after minutes, or the same request, sent again,
        // withdrew it.
        Some(false) => Err(Problem::database_unavailable()),
        None => Err(Problem::outcome_unknown(job_id)),
    }
}

/// Withdraws a job whose schedule could not be created. Succeeds if the same request, sent again,
/// has created the job meanwhile.
async fn take_back(state: &AppState, job_id: Uuid, deadline: Deadline) -> Result<(), Problem> {
    if deadline
        .postgres(polling_jobs::withdraw(&state.db, job_id))
        .await?
    {
        return Err(Problem::scheduler_unavailable());
    }

    let made = deadline
        .postgres(polling_jobs::get(&state.db, job_id))
        .await?;
    made.map(|_| ()).ok_or_else(Problem::scheduler_unavailable)
}
