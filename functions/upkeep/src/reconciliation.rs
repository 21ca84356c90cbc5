//! Schedules follow jobs: Postgres is the source of truth.

use std::collections::HashSet;

use shared::market::Timestamp;
use shared::repository;
use shared::repository::polling_jobs::{self, PollingJob};
use shared::schedules::{ScheduleError, Schedules};
use sqlx::PgPool;
use tracing::{error, info, warn};
use uuid::Uuid;

/// Jobs read at once.
const PAGE: i64 = 1_000;

/// How many schedules were mended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// Jobs that lacked their schedule.
    pub created: usize,
    /// Schedules that lacked their job.
    pub removed: usize,
}

/// Why not everything was mended; what was mended stays so, and the next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum ReconciliationError {
    /// EventBridge is away: nothing was done.
    #[error(transparent)]
    Schedules(#[from] ScheduleError),
    /// EventBridge refused some schedules; the others were mended. The log names them.
    #[error("{failed} schedules were not mended")]
    Refused {
        /// How many.
        failed: usize,
    },
    /// Postgres is away or refuses.
    #[error(transparent)]
    Repository(#[from] repository::Error),
}

/// Gives jobs their missing schedules and removes schedules whose job is gone.
///
/// Schedules are listed before jobs, and each job is read again before anything is done about it: a job made or
/// deleted meanwhile is left to the api that makes or deletes it. A schedule that EventBridge refuses does not stop the
/// others. `now` is asked anew for each schedule: making many takes longer than a start may lie in the past.
///
/// # Errors
/// When EventBridge or Postgres is away, or EventBridge refused a schedule.
pub async fn reconcile(
    pool: &PgPool,
    schedules: &Schedules,
    now: impl Fn() -> Timestamp,
) -> Result<Mended, ReconciliationError> {
    let names: HashSet<String> = schedules.list().await?.into_iter().collect();
    let jobs = all_jobs(pool).await?;
    let mut mended = Mended::default();
    let mut failed = 0;
    for job in jobs.iter().filter(|job| !names.contains(&job.job_id.to_string())) {
        let created = restore(pool, schedules, job.job_id, &now).await;
        mended.created += usize::from(unless_refused(created, job.job_id, &mut failed)?);
    }
    let job_ids: HashSet<Uuid> = jobs.iter().map(|job| job.job_id).collect();
    for job_id in names.iter().filter_map(|name| job_of(name)) {
        if !job_ids.contains(&job_id) {
            let removed = remove(pool, schedules, job_id).await;
            mended.removed += usize::from(unless_refused(removed, job_id, &mut failed)?);
        }
    }
    if failed > 0 { Err(ReconciliationError::Refused { failed }) } else { Ok(mended) }
}

/// The job that a schedule is named after.
fn job_of(name: &str) -> Option<Uuid> {
    let job_id = name.parse().ok();
    if job_id.is_none() {
        warn!(schedule = name, "left alone a schedule that is no job's");
    }
    job_id
}

/// Whether a schedule was mended; a refusal is counted, and no reason to end.
fn unless_refused(
    mended: Result<bool, ReconciliationError>,
    job_id: Uuid,
    failed: &mut usize,
) -> Result<bool, ReconciliationError> {
    if let Err(ReconciliationError::Schedules(ScheduleError { action, reason })) = &mended {
        error!(%job_id, action, reason, "EventBridge failed us");
        *failed += 1;
        return Ok(false);
    }
    mended
}

async fn restore(
    pool: &PgPool,
    schedules: &Schedules,
    job_id: Uuid,
    now: impl Fn() -> Timestamp,
) -> Result<bool, ReconciliationError> {
    let Some(job) = polling_jobs::get(pool, job_id).await? else { return Ok(false) };
    // EventBridge refuses a start that is long past; it must lie on the grid, or firings would miss the ticks.
    let start_at = job.grid().firings().next_from(now());
    schedules.create(job_id, job.interval_seconds, start_at).await?;
    info!(%job_id, %start_at, "created the missing schedule of a job");
    Ok(true)
}

async fn remove(pool: &PgPool, schedules: &Schedules, job_id: Uuid) -> Result<bool, ReconciliationError> {
    if polling_jobs::get(pool, job_id).await?.is_some() {
        return Ok(false);
    }
    schedules.delete(job_id).await?;
    info!(%job_id, "removed a schedule whose job is gone");
    Ok(true)
}

async fn all_jobs(pool: &PgPool) -> Result<Vec<PollingJob>, repository::Error> {
    let mut jobs = Vec::new();
    loop {
        let after = jobs.last().map(|job: &PollingJob| (job.created_at, job.job_id));
        let page = polling_jobs::list(pool, after, PAGE).await?;
        if page.is_empty() {
            return Ok(jobs);
        }
        jobs.extend(page);
    }
}
