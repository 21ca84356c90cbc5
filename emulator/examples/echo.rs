//! A function that does what its payload says, for the tests of the function host.
//!
//! Payloads: `{"do": "echo"}` returns itself, `"pid"` the process id, `"fail"` an error, `"large"`
//! 7 MB; `"exit"` ends the process, `"variable"` returns the environment variable `name`, and
//! `"wait"` writes its request id to the file `started` and answers once the file `until` exists.
//! With `ECHO_INIT=exit` the process ends before it requests an event. With
//! `ECHO_HANDLES_SIGTERM=1` SIGTERM ends a wait early.

use std::path::Path;
use std::time::Duration;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Error> {
    if variable("ECHO_INIT").as_deref() == Some("exit") {
        std::process::exit(7);
    }

    let terminated = CancellationToken::new();

    if variable("ECHO_HANDLES_SIGTERM").is_some() {
        let told = terminated.clone();
        lambda_runtime::spawn_graceful_shutdown_handler(|| async move {
            told.cancel();
            // The answer to the request is being sent. The host ends this process once it has it.
            tokio::time::sleep(Duration::from_secs(60)).await;
        })
        .await;
    }

    lambda_runtime::run(service_fn(move |event| act(event, terminated.clone()))).await
}

async fn act(event: LambdaEvent<Value>, terminated: CancellationToken) -> Result<Value, Error> {
    let payload = event.payload;
    let text = |key: &str| payload[key].as_str().unwrap_or_default().to_owned();

    match text("do").as_str() {
        "pid" => Ok(json!(std::process::id())),
        "fail" => Err("asked to fail".into()),
        "exit" => std::process::exit(3),
        "variable" => Ok(json!(variable(&text("name")))),
        "large" => Ok(json!("x".repeat(7_000_000))),
        "wait" => {
            let until = text("until");
            tokio::fs::write(text("started"), event.context.request_id).await?;

            tokio::select! {
                () = appears(Path::new(&until)) => Ok(json!("waited")),
                () = terminated.cancelled() => Ok(json!("terminated")),
            }
        }
        _ => Ok(payload),
    }
}

async fn appears(path: &Path) {
    while !path.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "reading its environment is what this function is for"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
