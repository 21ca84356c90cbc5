//! The peak memory of the averager's own binary at batches of 10,000, behind a Runtime API that the
//! benchmark serves.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use chrono::Utc;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::cpu;
use crate::feed::{self, Delivery, Feed};
use crate::postgres::Server;

const BATCH: usize = 10_000;
const BATCHES: usize = 30;
const SYMBOLS: usize = 5_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// The peak in MiB, after many full batches that contain repeats and late events.
pub(super) async fn peak(server: &mut Server, binaries: &Path) -> anyhow::Result<f64> {
    server.new_database().await?;

    let symbols = feed::symbols(SYMBOLS);
    let mut feed = Feed::new(
        &symbols,
        feed::start_before_now(100)?,
        0,
        (0, 1),
        Delivery::Imperfect,
    )?;

    let events = (0..BATCHES)
        .map(|_| feed.batch(BATCH))
        .collect::<anyhow::Result<Vec<_>>>()?;

    let (answered, mut answers) = mpsc::channel(BATCHES);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let api = tokio::spawn(axum::serve(listener, runtime_api(events, answered)).into_future());

    let mut function = Command::new(binaries.join("averager"))
        .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", "averager")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("DATABASE_URL", &server.url)
        .env("RUST_LOG", "warn")
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("starting the averager")?;

    for _ in 0..BATCHES {
        let succeeded = timeout(PATIENCE, answers.recv())
            .await
            .context("the averager does not answer")?;
        anyhow::ensure!(succeeded == Some(true), "the averager failed on a batch");
    }

    // Before the process is ended, because `/proc` shows only running processes.
    let peak = function
        .id()
        .and_then(cpu::peak_memory)
        .context("the averager is gone")?;

    function.kill().await?;
    api.abort();
    Ok(peak)
}

/// Delivers the events one after the other, and then none. Reports for each whether it succeeded.
fn runtime_api(mut events: Vec<String>, answered: mpsc::Sender<bool>) -> Router {
    events.reverse();
    let events = Arc::new(Mutex::new(events));
    let failed = answered.clone();

    Router::new()
        .route(
            "/2018-06-01/runtime/invocation/next",
            get(async move || {
                let event = events.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some(event) = event else {
                    return std::future::pending().await;
                };

                let deadline = (Utc::now() + PATIENCE).timestamp_millis().to_string();

                let headers = [
                    (
                        "Lambda-Runtime-Aws-Request-Id",
                        uuid::Uuid::new_v4().to_string(),
                    ),
                    ("Lambda-Runtime-Deadline-Ms", deadline),
                    (
                        "Lambda-Runtime-Invoked-Function-Arn",
                        "arn:aws:lambda:us-east-1:1:function:averager".to_owned(),
                    ),
                ];

                (headers, event)
            }),
        )
        .route(
            "/2018-06-01/runtime/invocation/{id}/response",
            post(async move || tell(&answered, true).await),
        )
        .route(
            "/2018-06-01/runtime/invocation/{id}/error",
            post(async move || tell(&failed, false).await),
        )
}

async fn tell(answered: &mpsc::Sender<bool>, succeeded: bool) -> StatusCode {
    let _nobody_waits = answered.send(succeeded).await;
    StatusCode::ACCEPTED
}
