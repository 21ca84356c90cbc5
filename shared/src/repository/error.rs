//! What went wrong in Postgres, as far as callers act on it. Postgres's error codes are read here and nowhere else.
//!
//! Codes: <https://www.postgresql.org/docs/15/errcodes-appendix.html>. Their first two characters name a class.

use std::borrow::Cow;

use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::postgres::PgDatabaseError;

use super::{connections, partitions};

/// What went wrong in Postgres.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres cannot be reached, is starting or stopping, gave up the transaction, or lacks the schema as yet: the
    /// same may pass later.
    #[error("Postgres is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The statement itself failed, or a row does not read as what it should be. Trying it again brings the same.
    #[error("Postgres refused the statement")]
    Rejected(#[source] sqlx::Error),
}

/// The beginnings of the codes of what may pass: by waiting, on another connection, or once upkeep or an operator has
/// done their part. No other error is worth waiting for.
const MAY_PASS: [&str; 20] = [
    // The connection failed. Poolers say 08P01 for whatever they refuse for a while.
    "08", // The server only reads: after a failover, or because an operator wants it so.
    "25006",
    // The session was ended because the transaction stood still, or took too long: the next attempt has another one.
    "25P03", "25P04",
    // A prepared statement is gone, or is another session's: poolers mix them up. A new connection has its own.
    "26000", "42P05",
    // The login is refused, or the database is not there: an operator is at it, and what is to be stored is not at fault.
    "28", "3D000",
    // A schema, table, column, type, function or constraint is not there: upkeep brings it, or a new session's search
    // path finds it.
    "3F000", "42P01", "42703", "42704", "42883", "42P10",
    // A privilege is missing, which an operator grants.
    "42501",
    // The transaction was given up for another one's sake: deadlocks, and stricter isolation than ours.
    "40", // No room for now: connections, memory, disk.
    "53", // Something is locked, or not in the state for it.
    "55", // Somebody ended the statement, the session or the server.
    "57", // The server's disk or files failed it.
    "58",
];

/// The beginnings of the codes of what is wrong with the rows themselves: two of one key (21), a value that the type does
/// not hold (22), a constraint (23), a trigger (27, P0), a view's condition (44), more than fits a row or an index (54).
const DATA: [&str; 7] = ["21", "22", "23", "27", "44", "54", "P0"];

/// Besides those of data, the beginnings of the codes that tell nothing against other sessions that are open: what befell
/// one transaction, one connection, one attempt to connect, or all of the server.
const OTHERS_ARE_SOUND: [&str; 8] = ["08", "28", "3D", "40", "53", "55", "57", "58"];

/// Why Postgres, though it is there, lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It refuses the user or the password.
    Login,
    /// It has no database of the name.
    NoDatabase,
}

impl Refusal {
    /// The refusal that an error of connecting is, if it is one.
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
    /// Whether trying again later may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// Whether what was to be stored is at fault, and not the statement, the schema or the server.
    #[must_use]
    pub fn concerns_data(&self) -> bool {
        !self.is_transient() && self.code().is_some_and(|code| begins(&code, &DATA))
    }

    /// Whether a lock was not to be had in the time set for it.
    #[must_use]
    pub(super) fn is_lock_timeout(&self) -> bool {
        self.code().is_some_and(|code| code == "55P03")
    }

    /// Postgres's own code (SQLSTATE), which tells the cause without the statement or its values.
    #[must_use]
    pub fn code(&self) -> Option<Cow<'_, str>> {
        let (Self::Unavailable(cause) | Self::Rejected(cause)) = self;
        cause.as_database_error()?.code()
    }

    /// The error with its code, for whoever may see it.
    #[must_use]
    pub fn coded(&self) -> String {
        self.code().map_or_else(|| self.to_string(), |code| format!("{self} (SQLSTATE {code})"))
    }

    /// The error for a log: with its code, or, where Postgres gave none, with its cause.
    #[must_use]
    pub fn detail(&self) -> String {
        let (Self::Unavailable(cause) | Self::Rejected(cause)) = self;
        if self.code().is_some() { self.coded() } else { format!("{self}: {cause}") }
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
        if may_pass(&error) { Self::Unavailable(error) } else { Self::Rejected(error) }
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

/// Whether the error may be its session's, so that it would come again on this connection, and on others of its age.
fn sticks(error: &sqlx::Error) -> bool {
    match error {
        // What was read is no answer to what was asked.
        sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => {
            error.code().is_none_or(|code| !begins(&code, &DATA) && !begins(&code, &OTHERS_ARE_SOUND))
        }
        _ => false,
    }
}

fn begins(code: &str, beginnings: &[&str]) -> bool {
    beginnings.iter().any(|beginning| code.starts_with(beginning))
}

/// Whether a point's partition was dropped while its batch was written: a check violation by a table without checks.
/// The next attempt finds the point expired.
fn lost_its_partition(error: &dyn DatabaseError) -> bool {
    error.kind() == ErrorKind::CheckViolation
        && error.constraint().is_none()
        && error.table() == Some(partitions::PRICE_POINTS.name)
}

/// Whether a prepared statement would now return other types than when it was prepared. Its code, 0A000, is that of all
/// that Postgres does not support, so the place in Postgres's source that it comes from must tell.
fn lost_its_plan(error: &dyn DatabaseError) -> bool {
    let error = error.try_downcast_ref::<PgDatabaseError>();
    error.is_some_and(|error| error.routine() == Some("RevalidateCachedQuery"))
}

#[cfg(test)]
mod tests;
