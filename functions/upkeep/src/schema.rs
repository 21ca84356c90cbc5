//! Migrates the schema, once Postgres answers.

use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use shared::repository::Refusal;
use shared::repository::schema::{self, SchemaError};
use sqlx::PgPool;

/// Attempts to connect before Postgres counts as unavailable; each takes up to the pool's own
/// limit.
const TRIES: usize = 20;
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest that migrating takes, including the wait for another migrator.
const TIMEOUT: Duration = Duration::from_secs(180);

/// Why the schema is not up to date.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrationError {
    #[error("Postgres is not available")]
    Unavailable,
    #[error("Postgres refuses the user or the password in DATABASE_URL")]
    LoginRefused,
    #[error("Postgres has no database of the name in DATABASE_URL")]
    NoDatabase,
    #[error("migrating took longer than {} s", TIMEOUT.as_secs())]
    TimedOut,
    #[error("a migration failed")]
    Failed(#[source] sqlx::migrate::MigrateError),
}

impl From<SchemaError> for MigrationError {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::NoConnection(error) => refusal(&error).unwrap_or(Self::Unavailable),
            SchemaError::Failed(error) => Self::Failed(error),
        }
    }
}

/// Migrates the schema and returns its version.
pub(crate) async fn migrate(pool: &PgPool) -> Result<i64, MigrationError> {
    let pause = ConstantBuilder::default()
        .with_delay(PAUSE)
        .with_max_times(TRIES);
    let connect = (|| pool.acquire())
        .retry(pause)
        .when(|error| refusal(error).is_none());
    connect
        .await
        .map_err(|error| refusal(&error).unwrap_or(MigrationError::Unavailable))?;

    let migrated = tokio::time::timeout(TIMEOUT, schema::migrate(pool)).await;
    Ok(migrated.map_err(|_| MigrationError::TimedOut)??)
}

fn refusal(error: &sqlx::Error) -> Option<MigrationError> {
    Some(match Refusal::of(error)? {
        Refusal::Login => MigrationError::LoginRefused,
        Refusal::NoDatabase => MigrationError::NoDatabase,
    })
}
