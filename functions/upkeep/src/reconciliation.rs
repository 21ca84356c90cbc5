//! Schedules follow jobs: Postgres is the source of truth.

use std::collections::HashSet;

use shared::market::Timestamp;
use shared::repository;
use shared::repository::polling_jobs::{self, PollingJob};
use shared::schedules::{ScheduleError, Schedules};
use sqlx::PgPool;
use tracing::{info, warn};
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

/// Why reconciliation ended early; what was mended stays so, and the next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum ReconciliationError {
    /// EventBridge is away or refuses.
    #[error(transparent)]
    Schedules(#[from] ScheduleError),
    /// Postgres is away or refuses.
    #[error(transparent)]
    Repository(#[from] repository::Error),
}

/// Gives jobs their missing schedules and removes schedules whose job is gone.
///
/// Schedules are listed before jobs, and each job is read again before anything is done about it: a job made or
/// deleted meanwhile is left to the api that makes or deletes it.
///
/// # Errors
/// When EventBridge or Postgres is away or refuses.
pub async fn reconcile(
    pool: &PgPool,
    schedules: &Schedules,
    now: Timestamp,
) -> Result<Mended, ReconciliationError> {
    let names: HashSet<String> = schedules.list().await?.into_iter().collect();
    let jobs = all_jobs(pool).await?;
    let mut mended = Mended::default();
    for job in jobs.iter().filter(|job| !names.contains(&job.job_id.to_string())) {
        mended.created += usize::from(restore(pool, schedules, job.job_id, now).await?);
    }
    let job_ids: HashSet<Uuid> = jobs.iter().map(|job| job.job_id).collect();
    for name in &names {
        let Ok(job_id) = name.parse::<Uuid>() else {
            warn!(schedule = name, "left alone a schedule that is no job's");
            continue;
        };
        if !job_ids.contains(&job_id) {
            mended.removed += usize::from(remove(pool, schedules, job_id).await?);
        }
    }
    Ok(mended)
}

async fn restore(
    pool: &PgPool,
    schedules: &Schedules,
    job_id: Uuid,
    now: Timestamp,
) -> Result<bool, ReconciliationError> {
    let Some(job) = polling_jobs::get(pool, job_id).await? else { return Ok(false) };
    // EventBridge refuses a start that is long past; it must lie on the grid, or firings would miss the ticks.
    let start_at = job.grid().firings().next_from(now);
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
