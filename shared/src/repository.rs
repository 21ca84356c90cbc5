//! The Postgres repository: all SQL of the pipeline, one file per table, free functions.
//!
//! Functions take `impl PgExecutor<'_>` when they are one statement and `&mut PgConnection` when they are several.

use std::str::FromStr;
use std::time::Duration;

use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};
use tokio::time::timeout;

pub mod clock;
pub mod ingest;
mod numeric;
pub mod part_states;
pub mod partitions;
pub mod polling_jobs;
pub mod polling_runs;
pub mod price_points;
pub mod raw_responses;
pub mod rejected_events;
pub mod schema;
pub mod series;

pub use schema::MIGRATOR;

/// How long a request waits for a connection before Postgres counts as away.
pub const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a connection that is given back may take to come to rest: its last statement may have been given up midway.
const REST_TIMEOUT: Duration = Duration::from_secs(1);

/// What went wrong in Postgres, as far as callers act on it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres cannot be reached, is starting or stopping, gave up the transaction, or lacks the schema as yet: the
    /// same may pass later.
    #[error("Postgres is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The statement itself failed, or a row does not read as what it should be.
    #[error("Postgres refused the statement")]
    Rejected(#[source] sqlx::Error),
}

impl Error {
    /// Whether trying again later may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let transient = match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => true,
            // A fault of the data (classes 22 and 23) or of the statement (42) stays; all else may pass, a missing
            // table, column or privilege included: upkeep or an operator brings them.
            sqlx::Error::Database(database) => database.code().is_none_or(|code| {
                let stays = ["22", "23", "42"].iter().any(|class| code.starts_with(class));
                !stays
                    || ["42P01", "42703", "42501"].contains(&code.as_ref())
                    || lost_its_partition(database.as_ref())
            }),
            _ => false,
        };
        if transient { Self::Unavailable(error) } else { Self::Rejected(error) }
    }
}

/// Whether a point's partition was dropped while its batch was written: a check violation by a table without checks.
/// The next attempt finds the point expired.
fn lost_its_partition(error: &dyn DatabaseError) -> bool {
    error.kind() == ErrorKind::CheckViolation && error.table() == Some(partitions::PRICE_POINTS.name)
}

/// Opens a pool lazily: no connection is made before the first statement.
///
/// A connection that comes back from a statement given up midway, and does not answer any more, is dropped. The pool
/// itself would wait for it without limit, and count it among its connections meanwhile.
///
/// # Errors
/// When the URL is not a Postgres URL.
pub fn connect(url: &str, max_connections: u32) -> Result<PgPool, Error> {
    let options =
        PgConnectOptions::from_str(url)?.application_name("market-data").disable_statement_logging();
    Ok(PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(true)
        .after_release(|connection, _| {
            Box::pin(async {
                let rested = timeout(REST_TIMEOUT, connection.ping()).await;
                rested.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|()| true)
            })
        })
        .connect_lazy_with(options))
}
