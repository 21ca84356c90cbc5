//! Brings the schema up to date. The migrations explain the schema itself.

use sqlx::PgExecutor;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};

use super::Error;
use super::connections::ACQUIRE_TIMEOUT;

/// The migrations.
pub static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// Time limits of the migrating session. A session that waits for a table's lock blocks all later
/// readers of the table. If the migrator vanishes without closing its connection, the session ends,
/// and releases the lock that keeps others from migrating.
const LIMITS: &str = "set lock_timeout = '10s';
    set idle_session_timeout = '60s';
    set idle_in_transaction_session_timeout = '60s'";

/// Why the schema was not brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// No connection was available.
    #[error("no connection to Postgres")]
    NoConnection(#[source] sqlx::Error),
    /// A migration failed, or the applied migrations differ from ours.
    #[error("a migration failed")]
    Failed(#[from] MigrateError),
}

/// Applies the pending migrations, and returns the resulting version of the schema. The lock that
/// lets one session migrate at a time is taken only if some are pending. The connection is closed
/// at the end or on cancellation, which releases the lock.
///
/// # Errors
/// When there is no connection, or a migration fails. Migrations before it stay applied.
pub async fn migrate(pool: &PgPool) -> Result<i64, SchemaError> {
    let mut connection = pool.acquire().await.map_err(SchemaError::NoConnection)?;
    if !is_current(&mut connection).await {
        let migrating = limited(&pool.connect_options());
        MIGRATOR.run(&migrating).await?;
        migrating.close().await;
    }

    Ok(newest())
}

/// Checks that Postgres answers, and that all our migrations are applied. A later version of the
/// functions may have added its own.
///
/// # Errors
/// When Postgres does not answer, or a migration is missing.
pub async fn check(executor: impl PgExecutor<'_>) -> Result<(), Error> {
    let ours: Vec<i64> = MIGRATOR.iter().map(|migration| migration.version).collect();

    // Each of them: one with a lower number may be younger than one that is applied.
    sqlx::query(
        "select from unnest($1::int8[]) ours
         having count(*) = (select count(*) from _sqlx_migrations where version = any($1) and success)",
    )
    .bind(ours)
    .fetch_one(executor)
    .await?;
    Ok(())
}

/// The version of the schema after our migrations.
fn newest() -> i64 {
    let versions = MIGRATOR.iter().map(|migration| migration.version);
    versions.max().unwrap_or(0)
}

/// A pool of one connection, with the time limits.
fn limited(options: &PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|connection, _| {
            Box::pin(async { sqlx::raw_sql(LIMITS).execute(connection).await.map(|_| ()) })
        })
        .connect_lazy_with(options.clone())
}

/// Whether exactly our migrations are applied. False if that cannot be read: the migrator then
/// reports why.
async fn is_current(connection: &mut PgConnection) -> bool {
    let applied =
        sqlx::query_as("select version, checksum, success from _sqlx_migrations order by version");
    let applied: Result<Vec<(i64, Vec<u8>, bool)>, _> = applied.fetch_all(connection).await;
    let Ok(applied) = applied else { return false };

    let ours = MIGRATOR
        .iter()
        .map(|migration| (migration.version, migration.checksum.as_ref(), true));
    ours.eq(applied
        .iter()
        .map(|(version, checksum, success)| (*version, checksum.as_slice(), *success)))
}
