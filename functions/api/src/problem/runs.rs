//! The problems of runs: each says what to do next.

use shared::invocations::InvocationError;
use shared::repository::polling_runs::RequestError;
use uuid::Uuid;

use super::{Problem, StatusCode, UNAVAILABLE_RETRY};

impl Problem {
    pub(crate) fn no_run(job_id: Uuid, run_id: Uuid) -> Self {
        let detail = format!("the polling job {job_id} has no run {run_id}");
        let status = StatusCode::NOT_FOUND;
        Self::new(status, "/docs#no-run", "No such run", detail)
    }

    /// A run that is stored, and for which no poller could be invoked.
    pub(crate) fn poller_unavailable(run_id: Uuid, error: &InvocationError) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let problem = |detail| {
            let title = "The poller cannot be invoked";
            Self::new(status, "/docs#poller-unavailable", title, detail)
        };

        match error {
            InvocationError::Unavailable(_) => problem(format!(
                "the run {run_id} is stored, but Lambda does not take the event that starts it; the same request, sent \
                 again, starts it"
            ))
            .after(UNAVAILABLE_RETRY),
            InvocationError::Refused(_) => problem(format!(
                "the run {run_id} is stored, but Lambda refuses to start it, and sending the request again will not \
                 help: the api needs credentials with lambda:InvokeFunction on the function that SCHEDULE_TARGET_ARN \
                 names, and AWS_ENDPOINT_URL_LAMBDA, if set, must lead to it; the api's log has Lambda's answer"
            )),
        }
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::KeyOfAnotherRequest { job_id } => {
                let detail = format!(
                    "the Idempotency-Key came within 24 hours with a request for a run of the polling job {job_id}; give \
                     each request a key of its own"
                );
                let (status, kind) = (
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "/docs#idempotency-key-reused",
                );
                Self::new(status, kind, "Idempotency key used before", detail)
            }
            RequestError::Repository(error) => error.into(),
        }
    }
}
