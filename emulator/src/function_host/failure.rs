//! How AWS words the failures of a function that the function did not word itself.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use axum::body::Bytes;
use serde::Deserialize;
use serde_json::json;

use crate::invoker::FunctionError;

/// Largest payload of a synchronous answer: 6 MB and some room for its envelope.
pub(super) const MAX_ANSWER_BYTES: usize = 6_291_556;

/// The body that runtimes post for a handler's error.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ErrorBody {
    error_type: String,
    error_message: String,
}

/// A failure in the host's own words.
pub(super) fn failure(error_type: &str, message: String) -> FunctionError {
    let payload = json!({ "errorType": error_type, "errorMessage": message }).to_string();
    FunctionError {
        error_type: error_type.to_owned(),
        message,
        payload: Bytes::from(payload),
    }
}

/// A failure that the function reported.
pub(crate) fn reported(payload: Bytes) -> FunctionError {
    let body: ErrorBody = serde_json::from_slice(&payload).unwrap_or_default();
    let error_type = if body.error_type.is_empty() {
        "Unhandled".to_owned()
    } else {
        body.error_type
    };
    FunctionError {
        error_type,
        message: body.error_message,
        payload,
    }
}

/// The invocation took longer than the function's timeout.
pub(crate) fn timed_out(request_id: &str, timeout: Duration) -> FunctionError {
    let seconds = timeout.as_secs_f64();
    failure(
        "Sandbox.Timedout",
        format!("RequestId: {request_id} Error: Task timed out after {seconds:.2} seconds"),
    )
}

/// Another host, at `url`, gave the invocation up for its time.
pub(crate) fn gave_up(url: &str) -> FunctionError {
    failure(
        "Sandbox.Timedout",
        format!("the host at {url} gave up waiting for the function"),
    )
}

/// Another host does not take an event as large as this.
pub(crate) fn event_too_large() -> FunctionError {
    failure(
        "RequestTooLargeException",
        "the event is larger than the host takes".to_owned(),
    )
}

/// The process ended before it answered.
pub(super) fn exited(request_id: &str, status: ExitStatus) -> FunctionError {
    let message = match (status.code(), status.signal()) {
        (Some(0), _) => "Runtime exited without providing a reason".to_owned(),
        (Some(code), _) => format!("Runtime exited with error: exit status {code}"),
        (None, signal) => {
            format!(
                "Runtime exited with error: signal: {}",
                signal_name(signal.unwrap_or_default())
            )
        }
    };
    failure(
        "Runtime.ExitError",
        format!("RequestId: {request_id} Error: {message}"),
    )
}

/// The process could not be started at all.
pub(super) fn not_started(request_id: &str, reason: &std::io::Error) -> FunctionError {
    failure(
        "Runtime.InvalidEntrypoint",
        format!("RequestId: {request_id} Error: cannot start the binary: {reason}"),
    )
}

/// The process never asked for work.
pub(super) fn never_ready(request_id: &str, limit: Duration) -> FunctionError {
    let seconds = limit.as_secs_f64();
    failure(
        "Sandbox.Timedout",
        format!("RequestId: {request_id} Error: Init timed out after {seconds:.2} seconds"),
    )
}

/// The answer is larger than a synchronous invocation may give.
pub(super) fn answer_too_large() -> FunctionError {
    failure(
        "Function.ResponseSizeTooLarge",
        format!(
            "Response payload size exceeded maximum allowed payload size ({MAX_ANSWER_BYTES} bytes)."
        ),
    )
}

fn signal_name(signal: i32) -> String {
    match signal {
        2 => "interrupt".to_owned(),
        6 => "aborted".to_owned(),
        9 => "killed".to_owned(),
        11 => "segmentation fault".to_owned(),
        15 => "terminated".to_owned(),
        other => format!("signal {other}"),
    }
}
