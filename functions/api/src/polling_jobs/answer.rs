//! Jobs as the API shows them.

use serde::Serialize;
use shared::market::{ProviderList, Symbol, Timestamp};
use shared::repository::polling_jobs::{JobStatus, NewJob, PollingJob};
use shared::repository::polling_runs::{self, RunStatus};
use utoipa::ToSchema;
use uuid::Uuid;

/// A job that was created.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AcceptedJob {
    /// The job's id.
    #[schema(value_type = String, format = "uuid", example = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff")]
    job_id: Uuid,
    /// Always `accepted`.
    #[schema(example = "accepted")]
    status: &'static str,
    /// What the request asked for, with the defaults of what it did not name.
    config: JobConfig,
}

impl AcceptedJob {
    /// The answer for the job of that id, which polls what the request asked for.
    pub(super) fn of(job_id: Uuid, job: NewJob) -> Self {
        let config = JobConfig {
            symbols: job.symbols,
            interval: job.interval_seconds,
            provider: job.provider,
            market_hours: job.market_hours,
        };
        Self {
            job_id,
            status: "accepted",
            config,
        }
    }
}

/// What a job polls.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"symbols": ["AAPL", "MSFT"], "interval": 60, "provider": "replay", "market_hours": false}))]
pub(crate) struct JobConfig {
    /// The symbols, upper-cased.
    #[schema(value_type = Vec<String>)]
    symbols: Vec<Symbol>,
    /// Seconds between ticks.
    interval: u32,
    /// The providers in the order in which they are asked, separated by commas.
    #[schema(value_type = String)]
    provider: ProviderList,
    /// Whether symbols are left out while their market is closed.
    market_hours: bool,
}

/// A job and its current state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobAnswer {
    /// The job's id.
    #[schema(value_type = String, format = "uuid", example = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff")]
    job_id: Uuid,
    /// `active`; `paused` by a request; `backing_off` while it waits longer than its interval
    /// because its last runs failed or the provider asked for a pause; or `stalled` while its next
    /// run is overdue by more than an interval (at least a minute) plus one minute.
    #[schema(example = "active")]
    status: JobStatus,
    /// Why it is not polled at its interval, or not now; null while it is.
    #[schema(required)]
    reason: Option<String>,
    /// Since when it has this status.
    #[schema(value_type = String, format = DateTime, example = "2024-03-20T10:29:31.5Z")]
    since: Timestamp,
    /// What the job polls.
    config: JobConfig,
    /// When it was created.
    #[schema(value_type = String, format = DateTime, example = "2024-03-20T10:29:31.5Z")]
    created_at: Timestamp,
    /// The next tick that will be polled: after the end of a back-off, and of a job whose markets
    /// are all closed, from shortly before the first of them opens. Null while the job is paused.
    #[schema(value_type = Option<String>, format = DateTime, required, example = "2024-03-20T10:30:32Z")]
    next_tick_at: Option<Timestamp>,
    /// The newest run that has ended; null before the first one has.
    #[schema(required)]
    last_run: Option<LastRun>,
}

/// The newest run of a job that has ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LastRun {
    /// The time of its tick.
    #[schema(value_type = String, format = DateTime, example = "2024-03-20T10:29:32Z")]
    tick_time: Timestamp,
    /// How it ended: `succeeded`, `partial`, `failed` or `abandoned`. The other states of a tick do
    /// not appear here.
    #[schema(example = "succeeded")]
    status: RunStatus,
    /// Number of symbols whose quote is new.
    #[schema(example = 2)]
    published: u32,
    /// Number of symbols whose quote did not move. Such a quote adds no point.
    #[schema(example = 0)]
    unchanged: u32,
    /// Number of symbols without a published quote.
    #[schema(example = 0)]
    failed: u32,
    /// The first error; null if there was none.
    #[schema(required)]
    error: Option<String>,
}

impl From<polling_runs::LastRun> for LastRun {
    fn from(run: polling_runs::LastRun) -> Self {
        let polling_runs::LastRun {
            tick_time,
            status,
            published,
            unchanged,
            failed,
            error,
        } = run;
        Self {
            tick_time,
            status,
            published,
            unchanged,
            failed,
            error,
        }
    }
}

impl JobAnswer {
    /// The answer for a job, with its status at `now`.
    pub(super) fn of(job: PollingJob, now: Timestamp) -> Self {
        Self {
            job_id: job.job_id,
            status: job.status(now),
            reason: job.reason(now),
            since: job.since(now),
            created_at: job.created_at,
            next_tick_at: job.paused_at.is_none().then(|| job.next_tick_at(now)),
            config: JobConfig {
                symbols: job.symbols,
                interval: job.interval_seconds,
                provider: job.provider,
                market_hours: job.market_hours,
            },
            last_run: job.last_run.map(LastRun::from),
        }
    }
}

/// Jobs in the order of their creation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobList {
    /// The jobs of this page.
    pub(super) items: Vec<JobAnswer>,
    /// The `cursor` of the next page; null on the last page.
    #[schema(required)]
    pub(super) next_cursor: Option<String>,
}
