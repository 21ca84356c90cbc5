//! The HTTP gateway: API Gateway's HTTP API with payload format 2.0, in front of the functions.
//!
//! A request becomes the event that its route's function expects, and the function's answer becomes
//! the response. If no function answers, the gateway does, in API Gateway's own form: `{"message":
//! "…"}`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::serve::ListenerExt as _;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::body::{self, Unread};
use crate::invoker::{InvokeError, Invoker, Outcome};
use crate::per_function::PerFunction;
use crate::template::HttpRoute;
use crate::visitors::{AllowedHosts, Visitors};

mod answer;
mod event;
mod route;

use route::RouteTable;

/// Largest request body that API Gateway accepts.
const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;

/// Largest event that Lambda accepts. A large binary body exceeds it before the gateway's own
/// limit.
const MAX_EVENT_BYTES: usize = 6 * 1024 * 1024;

/// Time limit for a client to send its body, and again for a function to answer.
const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(30);

/// Most concurrent requests to one function.
const MAX_CONCURRENT_REQUESTS: usize = 1_000;

#[derive(Debug)]
struct Gateway {
    routes: RouteTable,
    invoker: Arc<dyn Invoker>,
    permits: PerFunction,
    timeout: Duration,
    visitors: Visitors,
    /// Where it listens.
    address: IpAddr,
    /// Whether only this machine reaches it.
    on_loopback: bool,
}

/// Serves `routes` on `listener` until `stop`, then finishes the requests in flight. Others reach the
/// listener at `reached_at`, which in a container is an address of its host.
pub(crate) async fn serve(
    listener: TcpListener,
    reached_at: IpAddr,
    allowed_hosts: &AllowedHosts,
    routes: Vec<HttpRoute>,
    invoker: Arc<dyn Invoker>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    serve_within(
        INTEGRATION_TIMEOUT,
        listener,
        reached_at,
        allowed_hosts,
        routes,
        invoker,
        stop,
    )
    .await
}

async fn serve_within(
    timeout: Duration,
    listener: TcpListener,
    reached_at: IpAddr,
    allowed_hosts: &AllowedHosts,
    routes: Vec<HttpRoute>,
    invoker: Arc<dyn Invoker>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let permits = PerFunction::new(
        routes.iter().map(|route| &route.function),
        MAX_CONCURRENT_REQUESTS,
    );
    let address = listener
        .local_addr()
        .context("the HTTP gateway has no address")?;
    let visitors = allowed_hosts.at(address);
    let routes = RouteTable::new(routes);
    let gateway = Arc::new(Gateway {
        routes,
        invoker,
        permits,
        timeout,
        visitors,
        address: address.ip(),
        on_loopback: reached_at.to_canonical().is_loopback(),
    });

    let service = Router::new().fallback(handle).with_state(gateway);
    let listener = listener.tap_io(|stream| {
        // Otherwise a large answer may wait for the acknowledgement of its first packet.
        let _ = stream.set_nodelay(true);
    });
    let service = service.into_make_service_with_connect_info::<SocketAddr>();

    let served =
        axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());

    tokio::select! {
        served = served.into_future() => served.context("the HTTP gateway failed"),
        // A client that never ends its request must not keep the gateway from stopping.
        () = async { stop.cancelled().await; sleep(timeout * 2).await } => Ok(()),
    }
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let request_id = Uuid::new_v4().to_string();
    let mut response = gateway.answer(request, client, &request_id).await;

    if let Ok(id) = request_id.parse() {
        response.headers_mut().insert("apigw-requestid", id);
    }
    response
}

impl Gateway {
    /// Whether the sender is on this machine: it uses loopback, or the address of the listener.
    fn is_here(&self, sender: IpAddr) -> bool {
        sender.to_canonical().is_loopback() || sender == self.address
    }

    async fn answer(&self, request: Request, client: SocketAddr, request_id: &str) -> Response {
        let (head, body) = request.into_parts();
        let Some(path) = event::path(&head) else {
            return refusal(StatusCode::BAD_REQUEST);
        };

        // Only the host is checked here: the function decides what pages may send.
        if let Err(refused) = self.visitors.check_host(&head.uri, &head.headers) {
            return answered(StatusCode::FORBIDDEN, &refused.to_string());
        }

        if event::is_head_too_large(&head) {
            return refusal(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        }

        let Some(route) = self.routes.find(head.method.as_str(), &path) else {
            return refusal(StatusCode::NOT_FOUND);
        };

        let permits = self.permits.of(route.function);
        let Ok(_permit) = permits.try_acquire() else {
            return refusal(StatusCode::TOO_MANY_REQUESTS);
        };

        let body = match timeout(self.timeout, body::read(body, MAX_BODY_BYTES)).await {
            Ok(Ok(body)) => body,
            Ok(Err(Unread::TooLarge)) => return refusal(StatusCode::PAYLOAD_TOO_LARGE),
            Ok(Err(Unread::Incomplete)) => return refusal(StatusCode::BAD_REQUEST),
            Err(_elapsed) => return refusal(StatusCode::REQUEST_TIMEOUT),
        };

        let request = event::Received {
            head: &head,
            path: &path,
            body: &body,
            client,
            known: event::Known {
                on_loopback: self.on_loopback,
                from_this_machine: self.is_here(client.ip()),
            },
            request_id,
        };
        let event = event::of_request(&request, &route);

        if event.len() > MAX_EVENT_BYTES {
            return refusal(StatusCode::PAYLOAD_TOO_LARGE);
        }

        match timeout(
            self.timeout,
            self.invoker.invoke(route.function, event.into()),
        )
        .await
        {
            Ok(Ok(outcome)) => of_outcome(route.function, outcome, &head.method),
            Ok(Err(error)) => of_invoke_error(&error),
            Err(_elapsed) => refusal(StatusCode::SERVICE_UNAVAILABLE),
        }
    }
}

fn of_outcome(function: &str, outcome: Outcome, method: &Method) -> Response {
    match outcome {
        Outcome::Success(payload) => answer::response(payload, method).unwrap_or_else(|| {
            tracing::warn!(
                function,
                "the answer of function {function} is not an HTTP response"
            );
            refusal(StatusCode::INTERNAL_SERVER_ERROR)
        }),
        Outcome::FunctionError(error) => {
            tracing::warn!(
                function,
                error_type = error.error_type,
                "function {function} failed to answer a request"
            );
            refusal(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

fn of_invoke_error(error: &InvokeError) -> Response {
    match error {
        InvokeError::Throttled(_) | InvokeError::Unreachable(_) | InvokeError::Stopping => {
            refusal(StatusCode::SERVICE_UNAVAILABLE)
        }
        InvokeError::NoSuchFunction(function) => {
            tracing::warn!(
                function,
                "a route leads to function {function}, which does not exist"
            );
            refusal(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// Returns an answer of the gateway's own.
fn refusal(status: StatusCode) -> Response {
    let message = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
        other => other.canonical_reason().unwrap_or_default(),
    };

    answered(status, message)
}

fn answered(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(json!({ "message": message }))).into_response()
}

#[cfg(test)]
mod tests;
