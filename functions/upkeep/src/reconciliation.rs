//! Reconciles schedules with jobs and relays: Postgres is the source of truth.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::time::Duration;

use futures::{StreamExt, stream};
use shared::market::Timestamp;
use shared::repository;
use shared::repository::polling_jobs::{self, JobStatus, PollingJob};
use shared::schedules::{Listed, Named, ScheduleError, Schedules};
use shared::tick::Grid;
use sqlx::PgPool;
use tokio::time::Instant;
use tracing::{error, info, warn};
use uuid::Uuid;

mod relays;

/// Jobs read in one page.
const PAGE: i64 = 1_000;
/// About how many schedules are compared in one run; of more, a share is compared.
const COMPARED: usize = 2_000;
/// Schedules compared at the same time. At 20 ms each this makes 200 requests a second, below
/// EventBridge's limit of 250 in the smaller Regions.
const AT_ONCE: usize = 4;
/// How often one schedule is compared in a run because its job is changed meanwhile. The next run
/// does the rest.
const MOST_TURNS: u32 = 3;
/// Seconds between two runs.
const RUN_SECONDS: u64 = 600;
/// How long a run repairs schedules; the function has five minutes for all its tasks.
const TIME: Duration = Duration::from_secs(120);

/// Numbers of reconciled schedules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// Jobs and relays whose schedule was missing.
    pub created: usize,
    /// Schedules that differed from their job's or relay's.
    pub repaired: usize,
    /// Schedules whose job or relay was missing, and those of jobs that a relay serves.
    pub removed: usize,
}

/// Why not everything was reconciled. What was done stays done, and the next run continues.
#[derive(Debug, thiserror::Error)]
pub enum ReconciliationError {
    /// EventBridge is unavailable: nothing was done.
    #[error(transparent)]
    Schedules(#[from] ScheduleError),
    /// EventBridge refused some schedules; the others were reconciled. The log names them.
    #[error("{failed} schedules were not reconciled; the log names them")]
    Refused {
        /// The number of refused schedules.
        failed: usize,
    },
    /// The time was up before all schedules were reconciled.
    #[error("reconciliation took longer than {} s; {left} schedules are left to the next run", TIME.as_secs())]
    OutOfTime {
        /// The number of schedules that were not reconciled.
        left: usize,
    },
    /// Postgres is unavailable or refuses a statement.
    #[error(transparent)]
    Repository(#[from] repository::Error),
}

/// Creates the missing schedules of jobs and relays, updates those that differ from their job's or
/// relay's, and deletes those whose job or relay is gone.
///
/// Schedules are listed before jobs, and each job is read again before its schedule is changed. So
/// a job that is created or deleted meanwhile is left to the api. A schedule that EventBridge
/// refuses does not stop the others. `now` is read again for each schedule: creating many takes so
/// long that EventBridge would refuse a start computed at the beginning as past.
///
/// Comparing a schedule takes a request. If there are many, each run compares a share of them, and
/// the next run, ten minutes later, another. Schedules of stalled jobs, and those whose entry in
/// the list shows a difference, are compared in every run.
///
/// # Errors
/// When EventBridge or Postgres is unavailable, EventBridge refused a schedule, or the time ran
/// out.
pub async fn reconcile(
    pool: &PgPool,
    schedules: &Schedules,
    now: impl Fn() -> Timestamp,
) -> Result<Mended, ReconciliationError> {
    let until = Instant::now() + TIME;

    // Schedules before jobs: a schedule that is created in between is not in the list, so it is not
    // taken for one without a job.
    let listed = schedules.list().await?;
    let names: HashMap<&str, bool> = listed
        .iter()
        .map(|schedule| (schedule.name.as_str(), schedule.differs))
        .collect();
    let jobs = all_jobs(pool).await?;

    let mut outcomes = Outcomes::default();
    relays::reconcile(pool, schedules, &names, &now, until, &mut outcomes).await?;

    let (missing, present) = with_own_schedules(&names, &jobs);
    for job in missing {
        let created = in_time(until, restore(pool, schedules, job.job_id, &now)).await;
        outcomes.mended.created += usize::from(outcomes.unless_refused(created, job.job_id)?);
    }

    let to_compare = share(present, now());
    // Collected first: the compiler cannot prove that a stream of borrowing futures may move
    // between threads.
    let comparisons: Vec<_> = to_compare
        .into_iter()
        .map(|job| async {
            (
                job.job_id,
                in_time(until, repair(pool, schedules, job.job_id, &now)).await,
            )
        })
        .collect();

    let mut compared = stream::iter(comparisons).buffer_unordered(AT_ONCE);
    while let Some((job_id, repaired)) = compared.next().await {
        outcomes.mended.repaired += usize::from(outcomes.unless_refused(repaired, job_id)?);
    }
    drop(compared);

    for job_id in orphans(&listed, &jobs) {
        let removed = in_time(until, remove(pool, schedules, job_id)).await;
        outcomes.mended.removed += usize::from(outcomes.unless_refused(removed, job_id)?);
    }
    relays::remove_outdated(pool, schedules, &names, &jobs, until, &mut outcomes).await?;

    match outcomes {
        Outcomes { failed, .. } if failed > 0 => Err(ReconciliationError::Refused { failed }),
        Outcomes { left, .. } if left > 0 => Err(ReconciliationError::OutOfTime { left }),
        Outcomes { mended, .. } => Ok(mended),
    }
}

/// The jobs that have a schedule of their own, those that lack it first; for the others, whether its
/// entry in the list differs.
fn with_own_schedules<'a>(
    names: &HashMap<&str, bool>,
    jobs: &'a [PollingJob],
) -> (Vec<&'a PollingJob>, Vec<(&'a PollingJob, bool)>) {
    let (mut missing, mut present) = (Vec::new(), Vec::new());
    for job in jobs.iter().filter(|job| !job.grid().is_relayed()) {
        match names.get(job.job_id.to_string().as_str()) {
            Some(differs) => present.push((job, *differs)),
            None => missing.push(job),
        }
    }
    (missing, present)
}

/// The jobs whose schedules are compared at `now`: all of them or, if there are many, this run's
/// share and those that are suspect.
fn share(present: Vec<(&PollingJob, bool)>, now: Timestamp) -> Vec<&PollingJob> {
    let shares = u64::try_from(present.len().div_ceil(COMPARED).max(1)).unwrap_or(u64::MAX);
    let turn = now.timestamp().unsigned_abs() / RUN_SECONDS % shares;

    let suspect =
        |job: &PollingJob, differs: bool| differs || job.status(now) == JobStatus::Stalled;
    let is_due = |(job, differs): &(&PollingJob, bool)| {
        job.job_id.as_u64_pair().1 % shares == turn || suspect(job, *differs)
    };

    present
        .into_iter()
        .filter(is_due)
        .map(|(job, _)| job)
        .collect()
}

/// The results so far.
#[derive(Debug, Default)]
struct Outcomes {
    mended: Mended,
    failed: usize,
    left: usize,
}

impl Outcomes {
    /// Returns whether a schedule was changed. Refusals, and schedules for which no time was left,
    /// are counted and do not end the run.
    fn unless_refused(
        &mut self,
        mended: Result<bool, ReconciliationError>,
        subject: impl Display,
    ) -> Result<bool, ReconciliationError> {
        match mended {
            Err(ReconciliationError::Schedules(ScheduleError { action, reason })) => {
                error!(%subject, action, reason, "EventBridge Scheduler did not {action} for {subject}");
                self.failed += 1;
                Ok(false)
            }
            Err(ReconciliationError::OutOfTime { left }) => {
                self.left += left;
                Ok(false)
            }
            result => result,
        }
    }
}

/// Runs the change of one schedule unless the time is up, so that the invocation ends by itself
/// even if EventBridge is slow.
async fn in_time(
    until: Instant,
    mend: impl Future<Output = Result<bool, ReconciliationError>>,
) -> Result<bool, ReconciliationError> {
    if Instant::now() > until {
        return Err(ReconciliationError::OutOfTime { left: 1 });
    }

    mend.await
}

/// The jobs that have a schedule and do not exist.
fn orphans(listed: &[Listed], jobs: &[PollingJob]) -> Vec<Uuid> {
    let job_ids: HashSet<Uuid> = jobs.iter().map(|job| job.job_id).collect();
    listed
        .iter()
        .filter_map(|schedule| job_of(&schedule.name))
        .filter(|job_id| !job_ids.contains(job_id))
        .collect()
}

/// The id of the job that a schedule is named after, if it is one of a job.
fn job_of(name: &str) -> Option<Uuid> {
    match Named::read(name) {
        Some(Named::Job(job_id)) => Some(job_id),
        Some(Named::Relay(_)) => None,
        None => {
            warn!(
                schedule = name,
                "schedule {name} belongs to no job or relay; leaving it alone"
            );
            None
        }
    }
}

/// Creates the missing schedule of a job; returns false if the job has been deleted meanwhile.
async fn restore(
    pool: &PgPool,
    schedules: &Schedules,
    job_id: Uuid,
    now: impl Fn() -> Timestamp,
) -> Result<bool, ReconciliationError> {
    let Some((interval_seconds, grid)) = own_grid(pool, job_id).await? else {
        return Ok(false);
    };

    // EventBridge refuses a start that is long past. The start must lie on the grid, or firings
    // would miss the ticks.
    let start_at = grid.firings().next_from(now());
    Box::pin(schedules.create(job_id, interval_seconds, start_at)).await?;
    info!(%job_id, %start_at, "created the missing schedule of job {job_id}");

    // A request that changed the job meanwhile takes the new schedule for its own.
    if own_grid(pool, job_id).await? != Some((interval_seconds, grid)) {
        repair(pool, schedules, job_id, now).await?;
    }
    Ok(true)
}

/// Updates a schedule that differs from its job's; returns whether it did.
///
/// A request may change the job at any time, and then its schedule. So the job is read before the
/// comparison, because the list may be minutes old; after it, because a schedule that follows the
/// change already must not be set back; and after the update, because that may have been between
/// the request's two steps, or after both. If the ticks moved, all begins anew.
async fn repair(
    pool: &PgPool,
    schedules: &Schedules,
    job_id: Uuid,
    now: impl Fn() -> Timestamp,
) -> Result<bool, ReconciliationError> {
    let mut repaired = false;

    for _ in 0..MOST_TURNS {
        let Some(own) = own_grid(pool, job_id).await? else {
            break;
        };
        repaired |= repair_to(pool, schedules, job_id, own, &now).await?;

        if own_grid(pool, job_id).await? == Some(own) {
            break;
        }
    }
    Ok(repaired)
}

/// Updates a schedule that differs from these ticks, if they are still those of its job; returns
/// whether it did. The schedule of a job deleted meanwhile is left to the api.
async fn repair_to(
    pool: &PgPool,
    schedules: &Schedules,
    job_id: Uuid,
    own: (u32, Grid),
    now: impl Fn() -> Timestamp,
) -> Result<bool, ReconciliationError> {
    let (interval_seconds, grid) = own;

    // Boxed, because the SDK's futures are large and several run at once.
    let differences =
        Box::pin(schedules.differences(job_id, interval_seconds, &grid, now())).await?;
    let Some(differences) = differences.filter(|differences| !differences.is_empty()) else {
        return Ok(false);
    };
    if own_grid(pool, job_id).await? != Some(own) {
        return Ok(false);
    }

    let start_at = grid.firings().next_from(now());
    let repaired = Box::pin(schedules.update(job_id, interval_seconds, start_at)).await?;
    if repaired {
        warn!(%job_id, %start_at, ?differences, "repaired the schedule of job {job_id}");
    }
    Ok(repaired)
}

/// The interval and the ticks of a job, if it exists and has a schedule of its own.
async fn own_grid(pool: &PgPool, job_id: Uuid) -> Result<Option<(u32, Grid)>, repository::Error> {
    let job = polling_jobs::get(pool, job_id).await?;
    let own = job.filter(|job| !job.grid().is_relayed());
    Ok(own.map(|job| (job.interval_seconds, job.grid())))
}

/// Deletes the schedule of a job that does not exist; returns whether it did.
async fn remove(
    pool: &PgPool,
    schedules: &Schedules,
    job_id: Uuid,
) -> Result<bool, ReconciliationError> {
    // A job that is still being created keeps its schedule, too.
    if polling_jobs::exists(pool, job_id).await? {
        return Ok(false);
    }

    Box::pin(schedules.delete(job_id)).await?;
    info!(%job_id, "removed the schedule of job {job_id}, which does not exist");
    Ok(true)
}

/// Reads all jobs, page by page.
async fn all_jobs(pool: &PgPool) -> Result<Vec<PollingJob>, repository::Error> {
    let mut jobs = Vec::new();

    loop {
        let after = jobs
            .last()
            .map(|job: &PollingJob| (job.created_at, job.job_id));
        let page = polling_jobs::list(pool, after, PAGE).await?;
        if page.is_empty() {
            return Ok(jobs);
        }

        jobs.extend(page);
    }
}
