//! Postgres's own clock.

use sqlx::PgExecutor;

use super::Error;
use crate::market::Timestamp;

/// The current time of Postgres's clock, also within a transaction.
///
/// # Errors
/// When Postgres is unavailable.
pub async fn now(executor: impl PgExecutor<'_>) -> Result<Timestamp, Error> {
    Ok(sqlx::query_scalar("select clock_timestamp()")
        .fetch_one(executor)
        .await?)
}
