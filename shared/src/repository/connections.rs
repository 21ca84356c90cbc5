//! Connections to Postgres: how they are opened, tested before use, and closed.
//!
//! A connection may be unusable although it is open. If its peer is gone, the socket shows it only
//! by silence. A session may also depend on an outdated state: a server that has become read-only,
//! a statement planned for a table that has been replaced, a role or a search path as it was when
//! the session began. Errors of that kind repeat until the connection is closed. So after one of
//! them, no connection that was opened before it is used again.

use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnectionMetadata;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};
use tokio::time::timeout;

use super::Error;

/// How long a request waits for a connection before Postgres counts as unavailable.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a connection may take to answer before it is replaced. A working one answers in
/// milliseconds, and opening a new one takes a few more.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(300);
/// How long a released connection may take to become idle, because its last statement may have been
/// cancelled midway.
const REST_TIMEOUT: Duration = Duration::from_secs(1);

/// When this process last saw an error that persists for its connection.
static LAST_STUCK: Mutex<Option<Instant>> = Mutex::new(None);

/// Creates a pool that opens no connection before the first statement.
///
/// A connection is used only if it answers in time and no persistent error was seen since it was
/// opened. A released connection that no longer answers, because its statement was cancelled
/// midway, is dropped: the pool itself would wait for it without limit, and count it among its
/// connections meanwhile.
///
/// # Errors
/// When the URL is not a Postgres URL.
pub fn connect(url: &str, max_connections: u32) -> Result<PgPool, Error> {
    let options = PgConnectOptions::from_str(url)?
        .application_name("market-data")
        .disable_statement_logging();
    Ok(PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // The pool's own test waits without limit.
        .test_before_acquire(false)
        .before_acquire(|connection, metadata| Box::pin(test(connection, metadata, ANSWER_TIMEOUT)))
        .after_release(|connection, metadata| Box::pin(test(connection, metadata, REST_TIMEOUT)))
        .connect_lazy_with(options))
}

/// Whether a connection may be used. After an error the pool drops it without a graceful close.
async fn test(
    connection: &mut PgConnection,
    metadata: PoolConnectionMetadata,
    patience: Duration,
) -> Result<bool, sqlx::Error> {
    if is_stuck(metadata.age) {
        return Ok(false);
    }

    let answer = timeout(patience, connection.ping()).await;
    answer
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
        .map(|()| true)
}

/// Whether a connection that is outside the pool answers in time.
pub(super) async fn answers(connection: &mut PgConnection) -> bool {
    timeout(ANSWER_TIMEOUT, connection.ping())
        .await
        .is_ok_and(|answer| answer.is_ok())
}

/// Records an error that persists for its connection, of any pool: other connections of the
/// same age probably have the same problem, and new ones are cheap.
pub(super) fn note_stuck() {
    *LAST_STUCK.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
}

/// Whether a persistent error was seen since a connection of this age was opened.
fn is_stuck(age: Duration) -> bool {
    let last = *LAST_STUCK.lock().unwrap_or_else(PoisonError::into_inner);
    last.is_some_and(|last| last.elapsed() <= age)
}
