//! Maps the errors of reading changes to problems.

use shared::repository::changes::{KEPT_DAYS, MAX_SERIES, ReadError};

use super::{Fault, Problem, StatusCode};

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooManySeries(stored) => Self::invalid(vec![Fault {
                location: "query.symbols".to_owned(),
                message: format!(
                    "have {stored} series, and one request may follow {MAX_SERIES}: name fewer symbols, or a provider"
                ),
            }]),
            ReadError::Gone => Self::changes_gone(),
            ReadError::Postgres(error) => error.into(),
        }
    }
}

impl Problem {
    fn changes_gone() -> Self {
        let detail = format!(
            "the changes since this cursor are not known: the database was restored to an earlier state, or the cursor \
             is more than {KEPT_DAYS} days old; discard what you have of these symbols, and begin again without after"
        );
        Self::new(
            StatusCode::GONE,
            "/docs#changes-gone",
            "Changes gone",
            detail,
        )
    }
}
