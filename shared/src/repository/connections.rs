//! The connections to Postgres: how they are opened, tested before use, and given up.
//!
//! A connection is worth keeping only while its session is. A socket whose other end is gone tells so by silence alone. A
//! session may be bound to what a new one would not see: a server that has become a reader, a statement planned
//! for a table that is another one now, a role or a search path as it was when the session began. Errors of that kind
//! would come again and again until the connection ends, so after one of them no connection opened before it is used
//! any more.

use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnectionMetadata;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};
use tokio::time::timeout;

use super::Error;

/// How long a request waits for a connection before Postgres counts as away.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a connection may take to answer before another one is made in its place. A sound one answers in
/// milliseconds, and a new one takes a few more.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(300);
/// How long a connection that is given back may take to come to rest: its last statement may have been given up midway.
const REST_TIMEOUT: Duration = Duration::from_secs(1);

/// When an error that sticks to its connection was last seen in this process.
static LAST_STUCK: Mutex<Option<Instant>> = Mutex::new(None);

/// Opens a pool lazily: no connection is made before the first statement.
///
/// A connection is used only if it answers at once and no error since it was opened speaks against it. One that comes back
/// from a statement given up midway, and does not answer any more, is dropped: the pool itself would wait for it without
/// limit, and count it among its connections meanwhile.
///
/// # Errors
/// When the URL is not a Postgres URL.
pub fn connect(url: &str, max_connections: u32) -> Result<PgPool, Error> {
    let options =
        PgConnectOptions::from_str(url)?.application_name("market-data").disable_statement_logging();
    Ok(PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // The pool's own test waits without limit.
        .test_before_acquire(false)
        .before_acquire(|connection, metadata| Box::pin(test(connection, metadata, ANSWER_TIMEOUT)))
        .after_release(|connection, metadata| Box::pin(test(connection, metadata, REST_TIMEOUT)))
        .connect_lazy_with(options))
}

/// Whether a connection may be used; an error means that it is not even worth saying goodbye to.
async fn test(
    connection: &mut PgConnection,
    metadata: PoolConnectionMetadata,
    patience: Duration,
) -> Result<bool, sqlx::Error> {
    if is_stuck(metadata.age) {
        return Ok(false);
    }
    let answer = timeout(patience, connection.ping()).await;
    answer.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|()| true)
}

/// Whether a connection that is not the pool's at present answers at once.
pub(super) async fn answers(connection: &mut PgConnection) -> bool {
    timeout(ANSWER_TIMEOUT, connection.ping()).await.is_ok_and(|answer| answer.is_ok())
}

/// Notes an error that sticks to its connection. Of whatever pool it is: others of the same age are likely to be no
/// better, and a new connection is cheap.
pub(super) fn note_stuck() {
    *LAST_STUCK.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
}

/// Whether an error that sticks to connections was seen since one of this age was opened.
fn is_stuck(age: Duration) -> bool {
    let last = *LAST_STUCK.lock().unwrap_or_else(PoisonError::into_inner);
    last.is_some_and(|last| last.elapsed() <= age)
}
