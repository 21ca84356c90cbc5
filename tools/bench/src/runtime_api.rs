//! Lambda's Runtime API for one process, and a scheduler that accepts every request.
//!
//! It notes when the process asks for work and when it answers. The emulator's Runtime API serves
//! pools of processes and limits their times, and would be measured along with the function.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chrono::Utc;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

const DEADLINE: Duration = Duration::from_secs(60);

/// What the process did.
#[derive(Debug)]
pub(crate) enum Seen {
    AskedForWork,
    /// Its answer's body, or its error's.
    Answered(Result<String, String>),
}

/// The API, and what it has received.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    pub(crate) address: SocketAddr,
    events: mpsc::UnboundedSender<String>,
    seen: mpsc::UnboundedReceiver<(Instant, Seen)>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Desk {
    events: Mutex<mpsc::UnboundedReceiver<String>>,
    seen: mpsc::UnboundedSender<(Instant, Seen)>,
}

impl RuntimeApi {
    pub(crate) async fn open() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;

        let (events, queue) = mpsc::unbounded_channel();
        let (noted, seen) = mpsc::unbounded_channel();
        let desk = Arc::new(Desk {
            events: Mutex::new(queue),
            seen: noted,
        });

        let server = tokio::spawn(async move {
            // Ends with the benchmark, or when this is dropped.
            let _ended = axum::serve(listener, router(desk)).await;
        });

        Ok(Self {
            address,
            events,
            seen,
            server,
        })
    }

    pub(crate) fn hand_out(&self, event: String) {
        // The receiver is gone once the server has ended.
        let _gone = self.events.send(event);
    }

    pub(crate) async fn seen(&mut self) -> Option<(Instant, Seen)> {
        self.seen.recv().await
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route(
            "/2018-06-01/runtime/invocation/{id}/response",
            post(response),
        )
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(error))
        .route("/2020-01-01/extension/register", post(register))
        .route(
            "/2020-01-01/extension/event/next",
            get(std::future::pending::<()>),
        )
        .fallback(async || {
            axum::Json(
                json!({ "Schedules": [], "ScheduleArn": "arn:aws:scheduler:::schedule/a/b" }),
            )
        })
        .with_state(desk)
}

impl Desk {
    fn note(&self, seen: Seen) {
        let _nobody_waits = self.seen.send((Instant::now(), seen));
    }
}

/// A runtime registers as an internal extension to announce that it handles SIGTERM.
async fn register() -> Response {
    let function =
        json!({ "functionName": "measured", "functionVersion": "$LATEST", "handler": "bootstrap" });

    (
        [("lambda-extension-identifier", "measured")],
        axum::Json(function),
    )
        .into_response()
}

async fn next(State(desk): State<Arc<Desk>>) -> Response {
    desk.note(Seen::AskedForWork);

    let Some(event) = desk.events.lock().await.recv().await else {
        return std::future::pending().await;
    };

    let headers = [
        (
            "lambda-runtime-aws-request-id",
            uuid::Uuid::new_v4().to_string(),
        ),
        (
            "lambda-runtime-deadline-ms",
            (Utc::now() + DEADLINE).timestamp_millis().to_string(),
        ),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:1:function:measured".to_owned(),
        ),
    ];

    (headers, event).into_response()
}

async fn response(State(desk): State<Arc<Desk>>, body: String) -> StatusCode {
    desk.note(Seen::Answered(Ok(body)));
    StatusCode::ACCEPTED
}

async fn error(State(desk): State<Arc<Desk>>, body: String) -> StatusCode {
    desk.note(Seen::Answered(Err(body)));
    StatusCode::ACCEPTED
}
