//! What became of each symbol of a run.

use serde::{Deserialize, Serialize};

use crate::market::{ProviderName, Symbol};
use crate::repository::Error;

/// What became of a symbol in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Its quote is new, and the log acknowledged it.
    Published,
    /// Its quote is the one that is stored already. The log acknowledged it, too.
    Unchanged,
    /// It has no quote, or the log did not acknowledge it.
    Failed,
    /// Its market is closed, and it was left out.
    Closed,
}

/// Why symbols failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind of the failure, as the API's problems name it, such as `unknown-symbol`.
    pub kind: String,
    /// The failure in words; safe to show.
    pub detail: String,
}

/// Symbols of a run with which the same happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeGroup {
    /// What became of them.
    pub outcome: Outcome,
    /// The provider that gave their quotes or, if they failed, that was asked last; `None` if none
    /// was asked.
    pub provider: Option<ProviderName>,
    /// The symbols, in the job's order.
    pub symbols: Vec<Symbol>,
    /// Why they failed; `None` if they did not.
    pub problem: Option<Failure>,
}

/// The stored form of a run's outcomes.
pub(super) fn stored(outcomes: &[OutcomeGroup]) -> Result<String, Error> {
    serde_json::to_string(outcomes).map_err(|error| sqlx::Error::Encode(error.into()).into())
}

/// Reads the stored form. Runs of earlier versions have none.
pub(super) fn read(stored: Option<&str>) -> Result<Vec<OutcomeGroup>, Error> {
    let Some(stored) = stored else {
        return Ok(Vec::new());
    };
    serde_json::from_str(stored).map_err(|error| sqlx::Error::Decode(error.into()).into())
}
