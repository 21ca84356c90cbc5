//! Problem details (RFC 9457): all error answers, and the only place that knows their status codes.
//!
//! Clients of the original service read `detail`; others can distinguish the kinds by `type`.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

mod access;
mod answers;
mod causes;
mod changes;
mod conditions;
mod limits;
mod rejected;
mod runs;

pub(crate) use answers::{
    AlwaysProblems, BodyProblems, ChangeUnknown, ChangesGone, DatabaseProblems, FileProblems,
    JobNotFound, KafkaProblems, NoSeries, OutcomeUnknown, PathNotFound, ProviderProblems,
    QueryProblems, RedriveProblems, RejectedNotFound, RejectedProblems, RunNotFound, RunProblems,
    ScheduleProblems, TooManyJobs, UnknownProvider,
};

/// Most bytes of a request's body.
pub(crate) const MAX_BODY_BYTES: usize = 1_000_000;
/// Most faults named in one answer. Further ones are omitted, so that a hostile body cannot make an
/// answer arbitrarily large.
const MAX_FAULTS: usize = 100;
/// Most characters of an unknown path that its answer repeats.
const MAX_SHOWN_PATH: usize = 200;
/// `Retry-After` of an answer about a part of ours that is unavailable.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(5);

/// An error as the client sees it (RFC 9457, `application/problem+json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Identifies the kind of problem; a reference relative to this API.
    #[serde(rename = "type")]
    #[schema(example = "/docs#unknown-symbol")]
    kind: &'static str,
    /// The kind of problem in words.
    #[schema(example = "Unknown symbol")]
    title: &'static str,
    /// The HTTP status of the answer; within a list, that of the item.
    #[schema(example = 404)]
    status: u16,
    /// This occurrence of the problem in words.
    #[schema(example = "yahoo does not know the symbol NOPE")]
    detail: String,
    /// Each fault of the request with its location.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<Fault>,
    /// Seconds after which to try again, as in the `Retry-After` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    retry_after: Option<u64>,
}

/// One fault of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Fault {
    /// Where the fault is, such as `query.symbol`, `path.job_id`, `body` or `body.symbols[3]`.
    #[schema(example = "query.symbol")]
    pub(crate) location: String,
    /// What is wrong at this location.
    #[schema(example = "is required")]
    pub(crate) message: String,
}

impl Problem {
    fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            title,
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// A problem that its status describes completely, so that it needs no kind of its own.
    fn plain(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::new(
            status,
            "about:blank",
            status.canonical_reason().unwrap_or_default(),
            detail,
        )
    }

    /// Asks the client to wait before it tries again: in whole seconds, rounded up, at least one.
    fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(
            wait.as_secs()
                .saturating_add(u64::from(wait.subsec_nanos() > 0))
                .max(1),
        );
        self
    }

    /// The request itself is at fault, at all these locations.
    pub(crate) fn invalid(mut faults: Vec<Fault>) -> Self {
        faults.truncate(MAX_FAULTS);
        let detail = faults
            .iter()
            .map(|fault| format!("{} {}", fault.location, fault.message))
            .collect::<Vec<_>>();

        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let problem = Self::new(
            status,
            "/docs#invalid-request",
            "Invalid request",
            detail.join("; "),
        );

        Self {
            errors: faults,
            ..problem
        }
    }

    pub(crate) fn broken_json(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "/docs#broken-json",
            "Broken JSON",
            detail,
        )
    }

    pub(crate) fn unknown_provider(fault: Fault) -> Self {
        let detail = format!("{} {}", fault.location, fault.message);
        let problem = Self::new(
            StatusCode::BAD_REQUEST,
            "/docs#unknown-provider",
            "Unknown provider",
            detail,
        );

        Self {
            errors: vec![fault],
            ..problem
        }
    }

    pub(crate) fn no_series(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "/docs#no-series",
            "No such series",
            detail,
        )
    }

    pub(crate) fn no_job(job_id: uuid::Uuid) -> Self {
        let detail = format!("there is no polling job {job_id}");
        Self::new(
            StatusCode::NOT_FOUND,
            "/docs#no-polling-job",
            "No such polling job",
            detail,
        )
    }

    pub(crate) fn no_path(path: &str) -> Self {
        let shown: String = path.chars().take(MAX_SHOWN_PATH).collect();
        let cut = if shown.len() < path.len() { "…" } else { "" };
        let detail = format!("there is nothing at {shown}{cut}; /docs shows what there is");
        Self::plain(StatusCode::NOT_FOUND, detail)
    }

    pub(crate) fn wrong_method() -> Self {
        Self::plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "this path does not take this method; the Allow header says which",
        )
    }

    pub(crate) fn body_too_large() -> Self {
        Self::plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body may have at most {MAX_BODY_BYTES} bytes"),
        )
    }

    /// Replaces the plain text with which the limit on bodies refuses a request.
    pub(crate) fn instead_of_plain_413(response: Response) -> Response {
        if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Self::body_too_large().into_response()
        } else {
            response
        }
    }

    pub(crate) fn not_json() -> Self {
        Self::plain(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a body must be JSON, and its header must say so: Content-Type: application/json",
        )
    }

    pub(crate) fn foreign_page() -> Self {
        let detail = "a page of another site had a browser send this: its Origin is not this API's own, and \
                      CORS_ORIGINS does not list it";
        Self::new(
            StatusCode::FORBIDDEN,
            "/docs#foreign-page",
            "Request of another site's page",
            detail,
        )
    }

    pub(crate) fn key_of_another_request(job_id: uuid::Uuid) -> Self {
        let detail = format!(
            "the Idempotency-Key came with another request within 24 hours, which made the polling job {job_id}; give \
             each request a key of its own"
        );
        Self::key_reused(detail)
    }

    pub(crate) fn key_of_deleted_job(job_id: uuid::Uuid) -> Self {
        let detail = format!(
            "the Idempotency-Key came within 24 hours with the same request, and the polling job {job_id} that it made is \
             deleted; to make another one, use another key"
        );
        Self::key_reused(detail)
    }

    fn key_reused(detail: String) -> Self {
        let (status, kind) = (
            StatusCode::UNPROCESSABLE_ENTITY,
            "/docs#idempotency-key-reused",
        );
        Self::new(status, kind, "Idempotency key used before", detail)
    }

    pub(crate) fn outcome_unknown(job_id: uuid::Uuid) -> Self {
        let detail = format!(
            "Postgres did not say in time whether the polling job {job_id} is made; GET /prices/poll/{job_id} tells, and \
             with an Idempotency-Key the same request may be sent again"
        );
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "/docs#outcome-unknown",
            "Outcome unknown",
            detail,
        )
    }

    /// A change of a job of which Postgres did not say whether it is made.
    pub(crate) fn change_unknown(job_id: uuid::Uuid) -> Self {
        let detail = format!(
            "Postgres did not say in time whether the polling job {job_id} is changed; GET /prices/poll/{job_id} tells, \
             and the same request may be sent again"
        );
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "/docs#outcome-unknown",
            "Outcome unknown",
            detail,
        )
    }

    /// A job that is changed while its schedule is not.
    pub(crate) fn schedule_behind(job_id: uuid::Uuid) -> Self {
        let detail = format!(
            "the polling job {job_id} is changed, but the scheduler is not available: its schedule follows within ten \
             minutes, or as soon as the same request is sent again"
        );
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "/docs#schedule-behind", "Schedule behind", detail)
            .after(UNAVAILABLE_RETRY)
    }

    /// A symbol whose only provider gave no answer that can be used. Another answer may come later.
    fn no_answer(kind: &'static str, title: &'static str, detail: String) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, title, detail).after(UNAVAILABLE_RETRY)
    }

    /// A symbol for which no provider can be asked, or none answered.
    pub(crate) fn no_provider(detail: impl Into<String>, wait: Option<Duration>) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let kind = "/docs#no-provider-available";
        Self::new(status, kind, "No provider available", detail)
            .after(wait.unwrap_or(UNAVAILABLE_RETRY))
    }

    pub(crate) fn internal() -> Self {
        Self::plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            "something went wrong on our side",
        )
    }

    pub(crate) fn database_unavailable() -> Self {
        Self::unavailable("/docs#database-unavailable", "Postgres is not available")
    }

    pub(crate) fn kafka_unavailable() -> Self {
        Self::unavailable("/docs#kafka-unavailable", "Kafka is not available")
    }

    pub(crate) fn scheduler_unavailable() -> Self {
        Self::unavailable(
            "/docs#scheduler-unavailable",
            "The scheduler is not available",
        )
    }

    fn unavailable(kind: &'static str, title: &'static str) -> Self {
        let detail = format!("{title}; please try again later");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, title, detail).after(UNAVAILABLE_RETRY)
    }
}

/// The status of the health answer, whose body is the same kind of answer either way.
pub(crate) fn health_status(working: bool) -> StatusCode {
    if working {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (retry_after, challenge) = (self.retry_after, self.challenge());
        let mut response = (status, Json(self)).into_response();

        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(challenge) = challenge {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(challenge),
            );
        }

        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_at_most_a_hundred_faults() {
        let fault = Fault {
            location: "body".to_owned(),
            message: "is wrong".to_owned(),
        };
        assert_eq!(
            Problem::invalid(vec![fault; 5_000]).errors.len(),
            MAX_FAULTS
        );
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_rounded_up() {
        assert_eq!(
            Problem::internal()
                .after(Duration::from_millis(1_200))
                .retry_after,
            Some(2)
        );
        assert_eq!(
            Problem::internal().after(Duration::ZERO).retry_after,
            Some(1)
        );
    }
}
