//! The Runtime API, and the part of the Extensions API that runtimes use, for every instance under
//! its own base path.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;

use super::asking::Asking;
use super::failure::{self, MAX_ANSWER_BYTES};
use super::instance::InstanceId;
use super::pool::Pool;
use crate::body::{self, Unread};

type Pools = Arc<BTreeMap<String, Arc<Pool>>>;

/// The API for all functions in `pools`.
pub(super) fn router(pools: Pools) -> Router {
    let instance = Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route(
            "/2018-06-01/runtime/invocation/{request_id}/response",
            post(response),
        )
        .route(
            "/2018-06-01/runtime/invocation/{request_id}/error",
            post(error),
        )
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .route("/2020-01-01/extension/register", post(register))
        .route("/2020-01-01/extension/event/next", get(next_event));

    Router::new()
        .nest("/{function}/{instance}", instance)
        .with_state(pools)
}

/// The instance that sent the request, known by its base path.
struct Caller {
    pool: Arc<Pool>,
    id: InstanceId,
}

impl FromRequestParts<Pools> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, pools: &Pools) -> Result<Self, Response> {
        let path = Path::<BTreeMap<String, String>>::from_request_parts(parts, pools).await;
        let Path(names) = path.map_err(IntoResponse::into_response)?;

        let pool = names.get("function").and_then(|name| pools.get(name));
        let id = names.get("instance").and_then(|id| id.parse().ok());

        match (pool, id) {
            (Some(pool), Some(id)) => Ok(Self {
                pool: Arc::clone(pool),
                id,
            }),
            _ => Err(refusal(StatusCode::FORBIDDEN, "there is no such instance")),
        }
    }
}

/// Waits, without limit, for the instance's next event.
async fn next(caller: Caller) -> Response {
    let Some(work) = caller.pool.ask_for_work(caller.id) else {
        return refusal(
            StatusCode::FORBIDDEN,
            "this instance has a request to answer, or has ended",
        );
    };

    let Some(assignment) = Asking::new(Arc::clone(&caller.pool), caller.id, work)
        .answer()
        .await
    else {
        // The instance is about to end and gets no more work. Any answer would make its runtime log
        // an error.
        return std::future::pending().await;
    };

    let deadline = assignment
        .deadline
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();

    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", assignment.request_id),
        ("lambda-runtime-deadline-ms", deadline.to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            caller.pool.function().arn.clone(),
        ),
    ];

    (headers, assignment.payload).into_response()
}

async fn response(
    caller: Caller,
    Path(path): Path<BTreeMap<String, String>>,
    body: Body,
) -> Response {
    let (failure, status, message) = match body::read(body, MAX_ANSWER_BYTES).await {
        Ok(payload) => return accepted(&caller, &path, Ok(payload)),
        Err(Unread::TooLarge) => (
            failure::answer_too_large(),
            StatusCode::PAYLOAD_TOO_LARGE,
            "the answer is too large",
        ),
        Err(Unread::Incomplete) => (
            failure::answer_truncated(),
            StatusCode::BAD_REQUEST,
            "the answer did not arrive completely",
        ),
    };

    let accepted = accepted(&caller, &path, Err(failure));
    if accepted.status().is_success() {
        refusal(status, message)
    } else {
        accepted
    }
}

async fn error(caller: Caller, Path(path): Path<BTreeMap<String, String>>, body: Body) -> Response {
    let payload = body::read(body, MAX_ANSWER_BYTES).await.unwrap_or_default();
    accepted(&caller, &path, Err(failure::reported(payload)))
}

async fn init_error(caller: Caller, body: Body) -> Response {
    let payload = body::read(body, MAX_ANSWER_BYTES).await.unwrap_or_default();
    caller
        .pool
        .state()
        .init_failed(caller.id, failure::reported(payload));
    ok()
}

/// Runtimes register an internal extension to tell Lambda that they handle SIGTERM.
async fn register(caller: Caller) -> Response {
    caller.pool.state().registered(caller.id);

    let function = caller.pool.function();
    let body = json!({ "functionName": function.name, "functionVersion": "$LATEST", "handler": "bootstrap" });

    (
        [("lambda-extension-identifier", caller.id.to_string())],
        axum::Json(body),
    )
        .into_response()
}

/// Sends no events. The end, the only one that matters, comes as a signal.
async fn next_event(_caller: Caller) -> Response {
    std::future::pending().await
}

fn accepted(
    caller: &Caller,
    path: &BTreeMap<String, String>,
    outcome: Result<Bytes, crate::invoker::FunctionError>,
) -> Response {
    let request_id = path
        .get("request_id")
        .map(String::as_str)
        .unwrap_or_default();

    if caller.pool.answer(caller.id, request_id, outcome) {
        ok()
    } else {
        refusal(StatusCode::BAD_REQUEST, "this instance has no such request")
    }
}

fn ok() -> Response {
    (StatusCode::ACCEPTED, axum::Json(json!({ "status": "OK" }))).into_response()
}

fn refusal(status: StatusCode, message: &str) -> Response {
    let body = json!({ "errorType": "InvalidRequest", "errorMessage": message });
    (status, axum::Json(body)).into_response()
}
