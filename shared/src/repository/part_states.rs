//! How the parts that work unseen are doing: each notes its last success and its last failure, for `GET /health`.

use chrono::TimeDelta;
use sqlx::PgExecutor;

use super::Error;
use super::rejected_events::readable;
use crate::market::Timestamp;

/// A part that nobody waits for, so that its trouble shows nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Makes points of the events. It notes failures alone: noting each success would cost every batch a write.
    Averager,
    /// Notes the outcome of each run.
    Upkeep,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Averager => "averager",
            Self::Upkeep => "upkeep",
        }
    }
}

/// What a part noted, at the time of reading. All times are those of Postgres's clock.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct PartState {
    /// When this was read.
    pub read_at: Timestamp,
    /// The last success, if it noted any.
    pub succeeded_at: Option<Timestamp>,
    /// The last failure, if it noted any.
    pub failed_at: Option<Timestamp>,
    /// What failed then.
    pub error: Option<String>,
}

impl PartState {
    /// The time since the last success.
    #[must_use]
    pub fn since_success(&self) -> Option<TimeDelta> {
        self.succeeded_at.map(|at| self.read_at - at)
    }

    /// The time since the last failure.
    #[must_use]
    pub fn since_failure(&self) -> Option<TimeDelta> {
        self.failed_at.map(|at| self.read_at - at)
    }
}

/// Notes that the part has just succeeded. Its last failure stays noted.
///
/// # Errors
/// When Postgres is away or refuses.
pub async fn succeeded(executor: impl PgExecutor<'_>, part: Part) -> Result<(), Error> {
    sqlx::query(
        "insert into part_states as state (part, succeeded_at) values ($1, now())
         on conflict (part) do update set succeeded_at = greatest(state.succeeded_at, excluded.succeeded_at)",
    )
    .bind(part.name())
    .execute(executor)
    .await?;
    Ok(())
}

/// Notes that the part has just failed, and with what. `GET /health` shows `error` to everybody: it must tell no secret
/// and no SQL. What is too long, or no text for Postgres, is cut or replaced.
///
/// # Errors
/// When Postgres is away or refuses.
pub async fn failed(executor: impl PgExecutor<'_>, part: Part, error: &str) -> Result<(), Error> {
    sqlx::query(
        "insert into part_states (part, failed_at, error) values ($1, now(), $2)
         on conflict (part) do update set failed_at = excluded.failed_at, error = excluded.error",
    )
    .bind(part.name())
    .bind(readable(error))
    .execute(executor)
    .await?;
    Ok(())
}

/// What the part noted; nothing, with the time of reading, if it never did.
///
/// # Errors
/// When Postgres is away or refuses.
pub async fn get(executor: impl PgExecutor<'_>, part: Part) -> Result<PartState, Error> {
    let state = sqlx::query_as(
        "select now() as read_at, state.succeeded_at, state.failed_at, state.error
         from (values ($1)) as wanted(part) left join part_states state using (part)",
    )
    .bind(part.name())
    .fetch_one(executor)
    .await?;
    Ok(state)
}
