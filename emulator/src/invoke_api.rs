//! Lambda's Invoke API, `POST /2015-03-31/functions/{FunctionName}/invocations`, as the AWS CLI,
//! the SDKs and `cargo lambda invoke` call it. Signatures are not checked. Every qualifier means
//! the only version.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::async_invocation::{AsyncInvocation, Ending, RETRY_WAITS, Retries};
use crate::body::{self, Unread};
use crate::clock::SystemClock;
use crate::invoker::{InvokeError, Invoker};
use crate::per_function::PerFunction;
use crate::template::FunctionDefinition;
use crate::visitors::{self, AllowedHosts, Visitors};

mod answer;
mod names;

pub(crate) use answer::FUNCTION_ERROR;
use answer::Refusal;
use names::Names;

/// Largest payload of a synchronous invocation.
pub(crate) const MAX_PAYLOAD: usize = 6 * 1024 * 1024;
/// Largest payload of an asynchronous invocation.
const MAX_EVENT: usize = 1024 * 1024;
/// Asynchronous invocations that a function processes at once, and those that are kept for it.
/// Further ones are refused.
const MOST_IN_FLIGHT: usize = 256;
const MOST_KEPT: usize = 4_096;
/// What AWS passes to a function that is invoked without a payload.
const NOTHING: &str = "{}";

/// What all requests to the API share.
#[derive(Debug)]
struct InvokeApi {
    names: Names,
    retries: BTreeMap<String, Retries>,
    invoker: Arc<dyn Invoker>,
    in_flight: PerFunction,
    kept: PerFunction,
    events: TaskTracker,
    retry_waits: [Duration; 2],
    stop: CancellationToken,
}

/// Serves the API for `functions` on `listener` until `stop`, then finishes what is in flight.
/// Events that wait for another attempt are lost then, because they are kept in memory.
pub(crate) async fn serve(
    listener: TcpListener,
    allowed_hosts: &AllowedHosts,
    functions: &[FunctionDefinition],
    invoker: Arc<dyn Invoker>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    serve_with(
        RETRY_WAITS,
        listener,
        allowed_hosts,
        functions,
        invoker,
        stop,
    )
    .await
}

async fn serve_with(
    retry_waits: [Duration; 2],
    listener: TcpListener,
    allowed_hosts: &AllowedHosts,
    functions: &[FunctionDefinition],
    invoker: Arc<dyn Invoker>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let visitors = allowed_hosts.at(listener
        .local_addr()
        .context("the Invoke API has no address")?);

    let events = TaskTracker::new();
    let api = Arc::new(InvokeApi {
        names: Names::of(functions),
        retries: functions
            .iter()
            .map(|function| (function.name.clone(), Retries::from(function)))
            .collect(),
        invoker,
        in_flight: PerFunction::new(
            functions.iter().map(|function| &function.name),
            MOST_IN_FLIGHT,
        ),
        kept: PerFunction::new(functions.iter().map(|function| &function.name), MOST_KEPT),
        events: events.clone(),
        retry_waits,
        stop: stop.clone(),
    });

    let router = Router::new()
        .route("/2015-03-31/functions/{function}/invocations", post(invoke))
        .fallback(async || answer::refused(&Refusal::UnknownOperation, Uuid::new_v4()))
        .method_not_allowed_fallback(async || {
            answer::refused(&Refusal::UnknownOperation, Uuid::new_v4())
        })
        .layer(middleware::from_fn_with_state(visitors, admit))
        .with_state(api);

    let served = axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await;

    // Only after the server has ended: until then its requests may add events.
    events.close();
    events.wait().await;
    served.context("the Invoke API failed")
}

/// Refuses what pages of other sites send: they are recognised by host and origin, and by the types
/// of bodies that need no preflight request. JSON is not required, because some SDKs declare another
/// type and others none.
async fn admit(State(visitors): State<Visitors>, request: Request, next: Next) -> Response {
    if let Err(refused) = visitors.check(request.uri(), request.headers()) {
        return answer::refused(&Refusal::NotAdmitted(refused), Uuid::new_v4());
    }

    if !request.body().is_end_stream() && visitors::is_type_of_a_form(request.headers()) {
        return answer::refused(&Refusal::TypeOfAForm, Uuid::new_v4());
    }

    next.run(request).await
}

async fn invoke(
    State(api): State<Arc<InvokeApi>>,
    Path(function): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let request_id = Uuid::new_v4();
    let answered = api.answer(&function, &headers, body, request_id).await;
    answered.unwrap_or_else(|refusal| answer::refused(&refusal, request_id))
}

/// How a function is to be invoked, from the header `X-Amz-Invocation-Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InvocationType {
    RequestResponse,
    Event,
    DryRun,
}

impl InvocationType {
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        match headers
            .get("x-amz-invocation-type")
            .map(|value| value.to_str().unwrap_or_default())
        {
            None | Some("" | "RequestResponse") => Ok(Self::RequestResponse),
            Some("Event") => Ok(Self::Event),
            Some("DryRun") => Ok(Self::DryRun),
            Some(_) => Err(Refusal::InvalidParameter(
                "X-Amz-Invocation-Type must be RequestResponse, Event or DryRun".to_owned(),
            )),
        }
    }
}

impl InvokeApi {
    async fn answer(
        self: &Arc<Self>,
        called: &str,
        headers: &HeaderMap,
        body: Body,
        request_id: Uuid,
    ) -> Result<Response, Refusal> {
        let kind = InvocationType::of(headers)?;
        let function = self.names.find(called)?;

        if kind == InvocationType::DryRun {
            return Ok(answer::would_run(request_id));
        }

        let limit = if kind == InvocationType::Event {
            MAX_EVENT
        } else {
            MAX_PAYLOAD
        };
        let payload = payload(body, limit).await?;

        if kind == InvocationType::Event {
            self.keep(function, payload)?;
            return Ok(answer::accepted(request_id));
        }

        match self.invoker.invoke(function, payload).await {
            Ok(outcome) => Ok(answer::of_outcome(outcome, request_id)),
            Err(InvokeError::NoSuchFunction(name)) => Err(Refusal::NoSuchFunction(name)),
            Err(InvokeError::Throttled(_)) => Err(Refusal::Throttled),
            Err(error @ (InvokeError::Unreachable(_) | InvokeError::Stopping)) => {
                Err(Refusal::Unavailable(error.to_string()))
            }
        }
    }

    /// Accepts an event, which is delivered in the background.
    fn keep(self: &Arc<Self>, function: &str, payload: Bytes) -> Result<(), Refusal> {
        let kept = self
            .kept
            .of(function)
            .try_acquire_owned()
            .map_err(|_| Refusal::Throttled)?;

        let (api, function) = (Arc::clone(self), function.to_owned());
        self.events.spawn(async move {
            let (_kept, wanted) = (kept, CancellationToken::new());
            let invocation = AsyncInvocation {
                invoker: api.invoker.as_ref(),
                clock: &SystemClock,
                function: &function,
                payload,
                retries: api.retries.get(&function).copied().unwrap_or_default(),
                retry_waits: api.retry_waits,
                in_flight: &api.in_flight.of(&function),
                withdrawn: &wanted,
                stop: &api.stop,
            };

            let report = |reason: &str| {
                tracing::warn!(
                    function,
                    reason,
                    "an asynchronous invocation of {function} failed"
                );
            };

            if invocation.run(report).await != Ending::Answered {
                tracing::warn!(
                    function,
                    "an asynchronous invocation of {function} was abandoned"
                );
            }
        });
        Ok(())
    }
}

/// Reads the event: JSON of at most `limit` bytes.
async fn payload(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let payload = body::read(body, limit)
        .await
        .map_err(|unread| match unread {
            Unread::TooLarge => Refusal::TooLarge { limit },
            Unread::Incomplete => Refusal::NotJson("it did not arrive completely".to_owned()),
        })?;

    if payload.is_empty() {
        return Ok(Bytes::from_static(NOTHING.as_bytes()));
    }

    serde_json::from_slice::<&serde_json::value::RawValue>(&payload)
        .map(|_| payload.clone())
        .map_err(|error| Refusal::NotJson(error.to_string()))
}

#[cfg(test)]
mod tests;
