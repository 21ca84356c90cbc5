//! The Invoke API's answers, in the shape of Lambda's model.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::invoker::Outcome;
use crate::visitors::Refused;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
pub(crate) const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");
const EXECUTED_VERSION: HeaderName = HeaderName::from_static("x-amz-executed-version");

/// Why a function is not invoked, as an error of Lambda's model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NoSuchFunction(String),
    InvalidParameter(String),
    NotJson(String),
    TooLarge { limit: usize },
    Throttled,
    Unavailable(String),
    UnknownOperation,
    NotAdmitted(Refused),
    TypeOfAForm,
}

impl Refusal {
    /// Returns the status, the model's name of the error, whose fault it is, and the message.
    fn parts(&self) -> (StatusCode, &'static str, &'static str, String) {
        let of_user = |status, name, message| (status, name, "User", message);
        match self {
            Self::NoSuchFunction(name) => of_user(
                StatusCode::NOT_FOUND,
                "ResourceNotFoundException",
                format!(
                    "Function not found: arn:aws:lambda:us-east-1:000000000000:function:{name}"
                ),
            ),
            Self::InvalidParameter(message) => of_user(
                StatusCode::BAD_REQUEST,
                "InvalidParameterValueException",
                message.clone(),
            ),
            Self::NotJson(reason) => of_user(
                StatusCode::BAD_REQUEST,
                "InvalidRequestContentException",
                format!("Could not parse request body into json: {reason}"),
            ),
            Self::TooLarge { limit } => of_user(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestTooLargeException",
                format!(
                    "Request must be smaller than {limit} bytes for the InvokeFunction operation"
                ),
            ),
            Self::Throttled => of_user(
                StatusCode::TOO_MANY_REQUESTS,
                "TooManyRequestsException",
                "Rate Exceeded.".to_owned(),
            ),
            Self::Unavailable(reason) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceException",
                "Service",
                reason.clone(),
            ),
            Self::NotAdmitted(refused) => of_user(
                StatusCode::FORBIDDEN,
                "AccessDeniedException",
                refused.to_string(),
            ),
            Self::TypeOfAForm => of_user(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaTypeException",
                "The body must be JSON, and its header must say so: Content-Type: application/json"
                    .to_owned(),
            ),
            Self::UnknownOperation => of_user(
                StatusCode::NOT_FOUND,
                "UnknownOperationException",
                "only POST /2015-03-31/functions/{FunctionName}/invocations is served here"
                    .to_owned(),
            ),
        }
    }
}

/// Returns an error of the API itself. Besides the model's members, the body has those that `cargo
/// lambda invoke` prints.
pub(super) fn refused(refusal: &Refusal, request_id: Uuid) -> Response {
    let (status, name, fault, message) = refusal.parts();
    let mut body = json!({ "Type": fault, "errorType": name, "errorMessage": message });

    // The model spells the message's member in two ways.
    let member = if matches!(
        refusal,
        Refusal::NoSuchFunction(_) | Refusal::Unavailable(_)
    ) {
        "Message"
    } else {
        "message"
    };
    body[member] = Value::from(message);

    let mut response = (status, axum::Json(body)).into_response();
    response
        .headers_mut()
        .insert(ERROR_TYPE, HeaderValue::from_static(name));
    identified(response, request_id)
}

/// Returns the answer of a function that ran.
pub(super) fn of_outcome(outcome: Outcome, request_id: Uuid) -> Response {
    let (payload, failed) = match outcome {
        Outcome::Success(payload) => (payload, false),
        Outcome::FunctionError(error) => (error.payload, true),
    };

    let mut response =
        ([("content-type", "application/json")], Body::from(payload)).into_response();
    let headers = response.headers_mut();
    headers.insert(EXECUTED_VERSION, HeaderValue::from_static("$LATEST"));
    if failed {
        headers.insert(FUNCTION_ERROR, HeaderValue::from_static("Unhandled"));
    }

    identified(response, request_id)
}

/// Returns the answer for an event that was accepted.
pub(super) fn accepted(request_id: Uuid) -> Response {
    identified(StatusCode::ACCEPTED.into_response(), request_id)
}

/// Returns the answer for a function that exists and could be invoked.
pub(super) fn would_run(request_id: Uuid) -> Response {
    identified(StatusCode::NO_CONTENT.into_response(), request_id)
}

fn identified(mut response: Response, request_id: Uuid) -> Response {
    if let Ok(id) = request_id.to_string().parse() {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}
