//! The one way in which the emulator's parts call a function: the Invoke API's terms, without its
//! wire format.

use std::fmt;

use axum::body::Bytes;
use futures::future::BoxFuture;

/// Calls functions by name and waits for their answers.
///
/// The function host implements it over the processes it started; the gateway, the scheduler and
/// the event source mapping know only this trait.
pub(crate) trait Invoker: fmt::Debug + Send + Sync {
    /// Runs `function` once with `payload` and waits for its answer, up to the function's own
    /// timeout.
    fn invoke<'a>(
        &'a self,
        function: &'a str,
        payload: Bytes,
    ) -> BoxFuture<'a, Result<Outcome, InvokeError>>;
}

/// What a function that was reached gave back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The handler's answer.
    Success(Bytes),
    /// The handler returned an error, crashed or ran out of time: what AWS marks with
    /// `X-Amz-Function-Error`.
    FunctionError(FunctionError),
}

/// A function's failure, as AWS words it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error_type}: {message}")]
pub(crate) struct FunctionError {
    /// The runtime's word for it, such as `Runtime.ExitError` or a handler's own type.
    pub(crate) error_type: String,
    /// The message for people.
    pub(crate) message: String,
    /// The payload as the Invoke API would answer it: `{"errorType", "errorMessage"}`.
    pub(crate) payload: Bytes,
}

impl FunctionError {
    /// Whether the process ended as the functions do when a variable is missing or malformed:
    /// having told so itself, and sure to do the same again.
    pub(crate) fn is_of_configuration(&self) -> bool {
        self.error_type == "Runtime.ExitError" && self.message.ends_with(": exit status 2")
    }
}

/// Why a function was not run, or not known to have run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvokeError {
    /// The template names no such function.
    #[error("there is no function named {0}")]
    NoSuchFunction(String),
    /// Every instance is busy and no more may be started: AWS answers 429.
    #[error("all instances of {0} are busy")]
    Throttled(String),
    /// The functions run elsewhere, and nobody answers there; says so and where.
    #[error("{0}")]
    Unreachable(String),
    /// The emulator is stopping and takes no new work.
    #[error("the emulator is stopping")]
    Stopping,
}
