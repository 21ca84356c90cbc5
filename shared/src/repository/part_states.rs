//! The state of the parts without a client: each records its last success and its last failure, for
//! `GET /health`.

use chrono::TimeDelta;
use sqlx::PgExecutor;

use super::Error;
use super::rejected_events::readable;
use crate::market::Timestamp;

/// A part that no client waits for, so that no client receives its errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Turns events into points. It records failures only: recording each success would cost every
    /// batch a write.
    Averager,
    /// Records the outcome of each run.
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

/// What a part recorded, at the time of reading. All times are of Postgres's clock.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct PartState {
    /// When this was read.
    pub read_at: Timestamp,
    /// The last success; `None` before the first.
    pub succeeded_at: Option<Timestamp>,
    /// The last failure; `None` before the first.
    pub failed_at: Option<Timestamp>,
    /// The error of the last failure.
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

/// Records that the part has just succeeded. Its last failure is kept.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
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

/// Records that the part has just failed, and why. `GET /health` shows `error` to every client: it
/// must contain no secret and no SQL. Text that is too long is cut, and characters that Postgres
/// does not store are replaced.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
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

/// What the part recorded; only the time of reading if it never recorded anything.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
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
