//! How the emulator's parts call a function: in the Invoke API's terms, without its wire format.

use std::fmt;

use axum::body::Bytes;
use futures::future::BoxFuture;

/// Calls functions by name and waits for their answers.
///
/// The function hosts implement it. The gateway, the scheduler and the event source mapping know
/// only this trait.
pub(crate) trait Invoker: fmt::Debug + Send + Sync {
    /// Runs `function` once with `payload` and waits for its answer, up to the function's own
    /// timeout.
    fn invoke<'a>(
        &'a self,
        function: &'a str,
        payload: Bytes,
    ) -> BoxFuture<'a, Result<Outcome, InvokeError>>;

    /// Does the same for one of several callers whose requests belong together, such as those of a
    /// partition. If the instance that served this caller last is idle, it serves it again: what it
    /// remembers of the caller's requests is then still true. It is a hint, which a host may ignore.
    fn invoke_for<'a>(
        &'a self,
        _caller: usize,
        function: &'a str,
        payload: Bytes,
    ) -> BoxFuture<'a, Result<Outcome, InvokeError>> {
        self.invoke(function, payload)
    }
}

/// The result of a function that was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The handler's answer.
    Success(Bytes),
    /// The handler returned an error, crashed or ran out of time: what AWS marks with
    /// `X-Amz-Function-Error`.
    FunctionError(FunctionError),
}

/// A function's failure, in AWS's terms.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error_type}: {message}")]
pub(crate) struct FunctionError {
    /// The type that the runtime reports, such as `Runtime.ExitError` or a handler's own.
    pub(crate) error_type: String,
    /// A description for people.
    pub(crate) message: String,
    /// The payload as the Invoke API returns it: `{"errorType", "errorMessage"}`.
    pub(crate) payload: Bytes,
}

impl FunctionError {
    /// Whether the process ended as the functions do if a variable is missing or malformed. They
    /// report this themselves, and would end in the same way again.
    pub(crate) fn is_of_configuration(&self) -> bool {
        self.error_type == "Runtime.ExitError" && self.message.ends_with(": exit status 2")
    }
}

/// Why a function was not run, or is not known to have run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvokeError {
    /// The template has no function of this name.
    #[error("there is no function named {0}")]
    NoSuchFunction(String),
    /// Every instance is busy and no more may be started. AWS answers 429.
    #[error("all instances of {0} are busy")]
    Throttled(String),
    /// The functions run on another host, which does not answer. The message has its address.
    #[error("{0}")]
    Unreachable(String),
    /// The emulator is stopping and takes no new work.
    #[error("the emulator is stopping")]
    Stopping,
}
