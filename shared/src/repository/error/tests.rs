use std::error::Error as StdError;
use std::fmt;

use super::*;

/// An error with only a code.
#[derive(Debug)]
struct Coded(&'static str);

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message with values of the statement")
    }
}

impl StdError for Coded {}

impl DatabaseError for Coded {
    fn message(&self) -> &'static str {
        "a message with values of the statement"
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.0.into())
    }

    fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

fn coded(code: &'static str) -> sqlx::Error {
    sqlx::Error::Database(Box::new(Coded(code)))
}

#[test]
fn what_may_pass_is_waited_for_and_nothing_else() {
    for code in [
        "08006", "08P01", "25006", "25P03", "26000", "28P01", "3D000", "3F000", "40001", "40P01",
        "42501", "42703", "42883", "42P01", "42P05", "42P10", "53100", "53300", "55P03", "57014",
        "57P01", "57P03", "58030",
    ] {
        assert!(Error::from(coded(code)).is_transient(), "{code}");
    }

    for code in [
        "0A000", "21000", "22003", "22008", "22021", "23502", "23505", "23514", "25001", "25P02",
        "42601", "42804", "54000", "P0001", "XX000", "XX001",
    ] {
        assert!(!Error::from(coded(code)).is_transient(), "{code}");
    }
}

#[test]
fn only_what_the_rows_bring_is_the_rows_fault() {
    for code in [
        "21000", "22008", "23505", "23514", "27000", "44000", "54000", "P0001",
    ] {
        assert!(Error::from(coded(code)).concerns_data(), "{code}");
    }

    for code in ["0A000", "42804", "42P01", "40001", "57014", "XX000"] {
        assert!(!Error::from(coded(code)).concerns_data(), "{code}");
    }
}

#[test]
fn sessions_are_given_up_for_their_own_faults_and_not_for_those_of_data_server_or_login() {
    for code in [
        "0A000", "25006", "26000", "3F000", "42501", "42703", "42P01", "42P05", "XX000",
    ] {
        assert!(sticks(&coded(code)), "{code}");
    }

    for code in [
        "08006", "21000", "22003", "23505", "28P01", "3D000", "40P01", "53300", "55P03", "57014",
        "57P01",
    ] {
        assert!(!sticks(&coded(code)), "{code}");
    }
}

#[test]
fn an_error_shows_its_code_and_neither_its_message_nor_the_statement() {
    let error = Error::from(coded("23514"));
    assert_eq!(
        error.coded(),
        "Postgres refused the statement (SQLSTATE 23514)"
    );
    assert_eq!(error.detail(), error.coded());

    let away = Error::from(sqlx::Error::PoolClosed);
    assert_eq!(away.coded(), "Postgres is not available");
    assert!(away.detail().starts_with("Postgres is not available: "));
}

#[test]
fn a_refusal_to_let_us_in_tells_login_from_database() {
    assert_eq!(Refusal::of(&coded("28P01")), Some(Refusal::Login));
    assert_eq!(Refusal::of(&coded("3D000")), Some(Refusal::NoDatabase));
    assert_eq!(Refusal::of(&coded("57P03")), None);
    assert_eq!(Refusal::of(&sqlx::Error::PoolTimedOut), None);
}
