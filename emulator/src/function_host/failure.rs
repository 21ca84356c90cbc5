//! Failures of a function, in AWS's words, where the function did not report them itself.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use axum::body::Bytes;
use serde::Deserialize;
use serde_json::json;

use crate::invoker::FunctionError;

/// The largest payload of a synchronous answer: 6 MB and some room for its envelope.
pub(super) const MAX_ANSWER_BYTES: usize = 6_291_556;

/// The body that runtimes post for a handler's error.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ErrorBody {
    error_type: String,
    error_message: String,
}

/// A failure described by the host.
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

/// Another host, at `url`, timed out before the function answered.
pub(crate) fn gave_up(url: &str) -> FunctionError {
    failure(
        "Sandbox.Timedout",
        format!("the host at {url} gave up waiting for the function"),
    )
}

/// Another host does not accept an event of this size.
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

/// The process could not be started.
pub(super) fn not_started(request_id: &str, reason: &std::io::Error) -> FunctionError {
    failure(
        "Runtime.InvalidEntrypoint",
        format!("RequestId: {request_id} Error: cannot start the binary: {reason}"),
    )
}

/// The process never requested an event.
pub(super) fn never_ready(request_id: &str, limit: Duration) -> FunctionError {
    let seconds = limit.as_secs_f64();
    failure(
        "Sandbox.Timedout",
        format!("RequestId: {request_id} Error: Init timed out after {seconds:.2} seconds"),
    )
}

/// The answer is larger than that of a synchronous invocation may be.
pub(super) fn answer_too_large() -> FunctionError {
    failure(
        "Function.ResponseSizeTooLarge",
        format!(
            "Response payload size exceeded maximum allowed payload size ({MAX_ANSWER_BYTES} bytes)."
        ),
    )
}

/// The connection broke while the answer was being sent.
pub(super) fn answer_truncated() -> FunctionError {
    failure(
        "Runtime.TruncatedResponse",
        "The response did not arrive completely.".to_owned(),
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
