//! Schedules follow jobs: Postgres is the source of truth.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::{StreamExt, stream};
use shared::market::Timestamp;
use shared::repository;
use shared::repository::polling_jobs::{self, JobStatus, PollingJob};
use shared::schedules::{ScheduleError, Schedules};
use sqlx::PgPool;
use tokio::time::Instant;
use tracing::{error, info, warn};
use uuid::Uuid;

/// Jobs read at once.
const PAGE: i64 = 1_000;
/// About how many schedules are compared in one run; where there are more, a share of them is.
const COMPARED: usize = 2_000;
/// Schedules compared at once: at 20 ms each 200 a second, below EventBridge's 250 in the smaller Regions.
const AT_ONCE: usize = 4;
/// Seconds from one run to the next.
const RUN_SECONDS: u64 = 600;
/// How long a run goes on to mend schedules; the function has five minutes for all its tasks.
const TIME: Duration = Duration::from_secs(120);

/// How many schedules were mended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// Jobs that lacked their schedule.
    pub created: usize,
    /// Schedules that were not as their job has them.
    pub repaired: usize,
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

/// Gives jobs their missing schedules, makes those anew that are not as their job has them, and removes those whose job
/// is gone.
///
/// Schedules are listed before jobs, and each job is read again before anything is done about it: a job made or
/// deleted meanwhile is left to the api that makes or deletes it. A schedule that EventBridge refuses does not stop the
/// others. `now` is asked anew for each schedule: making many takes longer than a start may lie in the past.
///
/// Most of what a schedule says takes a call for each, so of many a share is compared in each run, another one each ten
/// minutes; those of stalled jobs, and those in whose line of the list a difference shows, are compared in every run.
///
/// # Errors
/// When EventBridge or Postgres is away, or EventBridge refused a schedule, or the time was up before all were mended.
pub async fn reconcile(
    pool: &PgPool,
    schedules: &Schedules,
    now: impl Fn() -> Timestamp,
) -> Result<Mended, ReconciliationError> {
    let until = Instant::now() + TIME;
    let listed = schedules.list().await?;
    let names: HashMap<&str, bool> =
        listed.iter().map(|schedule| (schedule.name.as_str(), schedule.differs)).collect();
    let jobs = all_jobs(pool).await?;
    let mut outcomes = Outcomes::default();
    let (mut missing, mut present) = (Vec::new(), Vec::new());
    for job in &jobs {
        match names.get(job.job_id.to_string().as_str()) {
            Some(differs) => present.push((job, *differs)),
            None => missing.push(job),
        }
    }

    for job in missing {
        let created = in_time(until, restore(pool, schedules, job.job_id, &now)).await;
        outcomes.mended.created += usize::from(outcomes.unless_refused(created, job.job_id)?);
    }
    let to_compare = share(present, now());
    // Collected first: the compiler does not see that a stream of borrowing futures may change threads.
    let comparisons: Vec<_> = to_compare
        .into_iter()
        .map(|job| async { (job.job_id, in_time(until, repair(pool, schedules, job, &now)).await) })
        .collect();
    let mut compared = stream::iter(comparisons).buffer_unordered(AT_ONCE);
    while let Some((job_id, repaired)) = compared.next().await {
        outcomes.mended.repaired += usize::from(outcomes.unless_refused(repaired, job_id)?);
    }
    drop(compared);
    let job_ids: HashSet<Uuid> = jobs.iter().map(|job| job.job_id).collect();
    for job_id in listed.iter().filter_map(|schedule| job_of(&schedule.name)) {
        if !job_ids.contains(&job_id) {
            let removed = in_time(until, remove(pool, schedules, job_id)).await;
            outcomes.mended.removed += usize::from(outcomes.unless_refused(removed, job_id)?);
        }
    }

    let Outcomes { mended, failed } = outcomes;
    if failed > 0 { Err(ReconciliationError::Refused { failed }) } else { Ok(mended) }
}

/// The jobs whose schedules are compared at `now`: all of them, or, where they are many, those whose turn it is, and
/// those that are suspect.
fn share(present: Vec<(&PollingJob, bool)>, now: Timestamp) -> Vec<&PollingJob> {
    let shares = u64::try_from(present.len().div_ceil(COMPARED).max(1)).unwrap_or(u64::MAX);
    let turn = now.timestamp().unsigned_abs() / RUN_SECONDS % shares;
    let suspect = |job: &PollingJob, differs: bool| differs || job.status(now) == JobStatus::Stalled;
    let is_due = |(job, differs): &(&PollingJob, bool)| {
        job.job_id.as_u64_pair().1 % shares == turn || suspect(job, *differs)
    };
    present.into_iter().filter(is_due).map(|(job, _)| job).collect()
}

/// What came of it so far.
#[derive(Debug, Default)]
struct Outcomes {
    mended: Mended,
    failed: usize,
}

impl Outcomes {
    /// Whether a schedule was mended; a refusal is counted, and no reason to end.
    fn unless_refused(
        &mut self,
        mended: Result<bool, ReconciliationError>,
        job_id: Uuid,
    ) -> Result<bool, ReconciliationError> {
        if let Err(ReconciliationError::Schedules(ScheduleError { action, reason })) = &mended {
            error!(%job_id, action, reason, "EventBridge failed us");
            self.failed += 1;
            return Ok(false);
        }
        mended
    }
}

/// Does it unless the time is up, so that a function's invocation ends by itself though EventBridge is slow.
async fn in_time(
    until: Instant,
    mend: impl Future<Output = Result<bool, ReconciliationError>>,
) -> Result<bool, ReconciliationError> {
    if Instant::now() > until {
        let reason = format!("reconciliation took longer than {} s; the next run goes on", TIME.as_secs());
        return Err(ScheduleError { action: "answer in time", reason }.into());
    }
    mend.await
}

/// The job that a schedule is named after.
fn job_of(name: &str) -> Option<Uuid> {
    let job_id = name.parse().ok();
    if job_id.is_none() {
        warn!(schedule = name, "left alone a schedule that is no job's");
    }
    job_id
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
    Box::pin(schedules.create(job_id, job.interval_seconds, start_at)).await?;
    info!(%job_id, %start_at, "created the missing schedule of a job");
    Ok(true)
}

/// Makes a schedule anew that is not as its job has it.
async fn repair(
    pool: &PgPool,
    schedules: &Schedules,
    job: &PollingJob,
    now: impl Fn() -> Timestamp,
) -> Result<bool, ReconciliationError> {
    let PollingJob { job_id, interval_seconds, .. } = *job;
    // The SDK's futures are large, and several are under way at once.
    let differences = Box::pin(schedules.differences(job_id, interval_seconds, &job.grid(), now())).await?;
    let Some(differences) = differences.filter(|differences| !differences.is_empty()) else {
        return Ok(false);
    };
    if polling_jobs::get(pool, job_id).await?.is_none() {
        return Ok(false);
    }
    let start_at = job.grid().firings().next_from(now());
    let repaired = Box::pin(schedules.update(job_id, interval_seconds, start_at)).await?;
    if repaired {
        warn!(%job_id, %start_at, ?differences, "repaired the schedule of a job");
    }
    Ok(repaired)
}

async fn remove(pool: &PgPool, schedules: &Schedules, job_id: Uuid) -> Result<bool, ReconciliationError> {
    // Also a job that is about to be there keeps its schedule.
    if polling_jobs::exists(pool, job_id).await? {
        return Ok(false);
    }
    Box::pin(schedules.delete(job_id)).await?;
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
