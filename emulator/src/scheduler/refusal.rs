//! The errors of EventBridge Scheduler's model.

/// Why a request is refused, as an error of the model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{0}")]
    Validation(String),
    #[error("{0}")]
    QuotaExceeded(String),
    #[error("{0} does not exist.")]
    NotFound(String),
    #[error("{0} already exists.")]
    Conflict(String),
    /// The cause is in the log and not in the answer.
    #[error("The emulator could not store the change.")]
    Internal,
}
