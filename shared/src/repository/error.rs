//! Errors of Postgres, classified by what callers do about them. Only this module reads Postgres's
//! error codes.
//!
//! Codes: <https://www.postgresql.org/docs/15/errcodes-appendix.html>. Their first two characters
//! name a class.

use std::borrow::Cow;

use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::postgres::PgDatabaseError;

use super::{connections, partitions};

/// An error of Postgres.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres cannot be reached, is starting or stopping, aborted the transaction, or does not
    /// have the schema yet. The same attempt may succeed later.
    #[error("Postgres is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The statement itself failed, or a stored row cannot be decoded. Trying again gives the same
    /// error.
    #[error("Postgres refused the statement")]
    Rejected(#[source] sqlx::Error),
}

/// The prefixes of the codes of errors that may end: by waiting, on another connection, or once
/// upkeep or an operator has acted. Retrying helps with no other error.
#[rustfmt::skip] // It would move a comment behind the code before it.
const MAY_PASS: [&str; 20] = [
    // The connection failed. Poolers use 08P01 for everything that they refuse temporarily.
    "08",
    // The server is read-only: after a failover, or because an operator made it so.
    "25006",
    // The session was ended because the transaction was idle or took too long. The next attempt
    // uses another session.
    "25P03", "25P04",
    // A prepared statement is missing, or belongs to another session: poolers mix them up. A new
    // connection has its own statements.
    "26000", "42P05",
    // The login is refused, or the database is missing. An operator has to act; the data is not at
    // fault.
    "28", "3D000",
    // A schema, table, column, type, function or constraint is missing. Upkeep creates it, or a new
    // session's search path finds it.
    "3F000", "42P01", "42703", "42704", "42883", "42P10",
    // A privilege is missing; an operator grants it.
    "42501",
    // The transaction was aborted because of another one: a deadlock, or an isolation level
    // stricter than ours.
    "40",
    // A resource is exhausted: connections, memory, disk.
    "53",
    // An object is locked, or not in the state that the statement needs.
    "55",
    // An operator ended the statement, the session or the server.
    "57",
    // The server's disk or files failed.
    "58",
];

/// The prefixes of the codes of errors in the rows themselves: two of one key (21), a value outside
/// its type (22), a constraint (23), a trigger (27, P0), a view's condition (44), more than fits a
/// row or an index (54).
const DATA: [&str; 7] = ["21", "22", "23", "27", "44", "54", "P0"];

/// The prefixes of further codes that say nothing about other open sessions: the error concerned
/// one transaction, one connection, one attempt to connect, or the whole server.
const OTHERS_ARE_SOUND: [&str; 8] = ["08", "28", "3D", "40", "53", "55", "57", "58"];

/// Why a running Postgres refuses every connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It refuses the user or the password.
    Login,
    /// It has no database of the name.
    NoDatabase,
}

impl Refusal {
    /// The refusal that caused an error of connecting, if it was one.
    #[must_use]
    pub fn of(error: &sqlx::Error) -> Option<Self> {
        match error.as_database_error()?.code()?.get(..2)? {
            "28" => Some(Self::Login),
            "3D" => Some(Self::NoDatabase),
            _ => None,
        }
    }
}

impl Error {
    /// Whether trying again later may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// Whether the data to be stored caused the error, and not the statement, the schema or the
    /// server.
    #[must_use]
    pub fn concerns_data(&self) -> bool {
        !self.is_transient() && self.code().is_some_and(|code| begins(&code, &DATA))
    }

    /// Whether a lock was not granted within the lock timeout.
    #[must_use]
    pub(super) fn is_lock_timeout(&self) -> bool {
        self.code().is_some_and(|code| code == "55P03")
    }

    /// Postgres's code (SQLSTATE). It shows the cause without the statement or its values.
    #[must_use]
    pub fn code(&self) -> Option<Cow<'_, str>> {
        let (Self::Unavailable(cause) | Self::Rejected(cause)) = self;
        cause.as_database_error()?.code()
    }

    /// The error with its code; safe to show to clients.
    #[must_use]
    pub fn coded(&self) -> String {
        self.code().map_or_else(
            || self.to_string(),
            |code| format!("{self} (SQLSTATE {code})"),
        )
    }

    /// The error for a log: with its code or, if Postgres gave none, with its cause.
    #[must_use]
    pub fn detail(&self) -> String {
        let (Self::Unavailable(cause) | Self::Rejected(cause)) = self;
        if self.code().is_some() {
            self.coded()
        } else {
            format!("{self}: {cause}")
        }
    }

    /// An attempt that took longer than its caller waits.
    #[must_use]
    pub fn unanswered() -> Self {
        Self::Unavailable(sqlx::Error::PoolTimedOut)
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if sticks(&error) {
            connections::note_stuck();
        }

        if may_pass(&error) {
            Self::Unavailable(error)
        } else {
            Self::Rejected(error)
        }
    }
}

fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::BeginFailed
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => {
            error.code().is_none_or(|code| begins(&code, &MAY_PASS))
                || lost_its_partition(error.as_ref())
                || lost_its_plan(error.as_ref())
        }
        _ => false,
    }
}

/// Whether the error may belong to its session, and so repeat on this connection and on others of
/// its age.
fn sticks(error: &sqlx::Error) -> bool {
    match error {
        // The response does not fit the request: the protocol is out of step.
        sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => error
            .code()
            .is_none_or(|code| !begins(&code, &DATA) && !begins(&code, &OTHERS_ARE_SOUND)),
        _ => false,
    }
}

fn begins(code: &str, beginnings: &[&str]) -> bool {
    beginnings
        .iter()
        .any(|beginning| code.starts_with(beginning))
}

/// Whether a point's partition was dropped while its batch was written: a check violation in a
/// table without checks. The next attempt finds the point expired.
fn lost_its_partition(error: &dyn DatabaseError) -> bool {
    error.kind() == ErrorKind::CheckViolation
        && error.constraint().is_none()
        && error.table() == Some(partitions::PRICE_POINTS.name)
}

/// Whether a prepared statement would now return other types than when it was prepared. Its code,
/// 0A000, covers everything that Postgres does not support, so the error is recognised by the
/// routine in Postgres's source that raised it.
fn lost_its_plan(error: &dyn DatabaseError) -> bool {
    let error = error.try_downcast_ref::<PgDatabaseError>();
    error.is_some_and(|error| error.routine() == Some("RevalidateCachedQuery"))
}

#[cfg(test)]
mod tests;
