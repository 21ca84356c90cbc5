//! Limits on jobs: their number, and how much they poll together.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::market::Symbol;
use crate::repository::Error;

/// The advisory lock that serialises the check of the limits. The number is arbitrary; no other
/// lock of the database uses it.
const LOCK: i64 = 0x706f_6c6c_7265_6c61;

/// The greatest numbers of jobs and of what they poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobLimits {
    /// Jobs.
    pub jobs: u32,
    /// Symbols of one job.
    pub symbols_per_job: u32,
    /// Symbols of all jobs; one that two jobs poll counts twice.
    pub symbols: u32,
}

impl JobLimits {
    /// Limits that no job reaches.
    pub const NONE: Self = Self {
        jobs: u32::MAX,
        symbols_per_job: u32::MAX,
        symbols: u32::MAX,
    };
}

/// A limit that a job would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitReached {
    /// There are as many jobs as there may be.
    #[error("there are already {limit} polling jobs")]
    Jobs {
        /// The limit.
        limit: u32,
    },
    /// The job has too many symbols.
    #[error("a polling job may have {limit} symbols, not {asked}")]
    SymbolsPerJob {
        /// The limit.
        limit: u32,
        /// The symbols of the job.
        asked: u64,
    },
    /// All jobs together would have too many symbols.
    #[error(
        "the other polling jobs have {polled} symbols, and all together may have {limit}: {asked} more are too many"
    )]
    Symbols {
        /// The limit.
        limit: u32,
        /// The symbols of all other jobs.
        polled: u64,
        /// The symbols of the job.
        asked: u64,
    },
}

/// What a job adds to what all jobs poll.
pub(super) struct Load {
    /// The job, which is not counted among the others.
    pub(super) job_id: Uuid,
    /// Whether it is one more job.
    pub(super) is_new: bool,
    /// Its symbols; `None` if it has no more of them than before.
    pub(super) symbols: Option<u64>,
}

impl Load {
    /// The load of a new job.
    pub(super) fn of(job_id: Uuid, symbols: &[Symbol]) -> Self {
        Self {
            job_id,
            is_new: true,
            symbols: Some(count(symbols)),
        }
    }
}

pub(super) fn count(symbols: &[Symbol]) -> u64 {
    u64::try_from(symbols.len()).unwrap_or(u64::MAX)
}

/// The limit that the load would exceed, if there is one. Until the transaction ends, no other one
/// adds a load, so the limits hold against requests at the same time.
///
/// Pending jobs count only for as long as a request may take: one that was left behind must not use
/// up a limit.
pub(super) async fn check(
    connection: &mut PgConnection,
    limits: &JobLimits,
    added: &Load,
) -> Result<Option<LimitReached>, Error> {
    let exceeds = |count: u64, limit: u32| count > u64::from(limit);
    if let Some(asked) = added
        .symbols
        .filter(|asked| exceeds(*asked, limits.symbols_per_job))
    {
        let limit = limits.symbols_per_job;
        return Ok(Some(LimitReached::SymbolsPerJob { limit, asked }));
    }

    // A statement of its own, so that the counts see what the last holder of the lock committed.
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut *connection)
        .await?;

    let (jobs, symbols): (i64, i64) = sqlx::query_as(
        "select count(*), coalesce(sum(cardinality(symbols)), 0)::int8
         from polling_jobs
         where deleted_at is null and job_id <> $1
           and (pending_since is null or pending_since > now() - interval '10 seconds')",
    )
    .bind(added.job_id)
    .fetch_one(connection)
    .await?;

    let reached = |count: i64, limit: u32| count >= i64::from(limit);
    let polled = symbols.unsigned_abs();
    Ok(match added.symbols {
        _ if added.is_new && reached(jobs, limits.jobs) => {
            Some(LimitReached::Jobs { limit: limits.jobs })
        }
        Some(asked) if exceeds(polled + asked, limits.symbols) => Some(LimitReached::Symbols {
            limit: limits.symbols,
            polled,
            asked,
        }),
        _ => None,
    })
}
