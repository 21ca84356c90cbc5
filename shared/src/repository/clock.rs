//! Postgres's own clock.

use sqlx::PgExecutor;

use super::Error;
use crate::market::Timestamp;

/// What time it is for Postgres.
///
/// # Errors
/// When Postgres is away.
pub async fn now(executor: impl PgExecutor<'_>) -> Result<Timestamp, Error> {
    Ok(sqlx::query_scalar("select clock_timestamp()").fetch_one(executor).await?)
}
