//! What a deployment does once: invokes the functions behind the template's custom resources.

use std::time::Duration;

use anyhow::Context as _;
use axum::body::Bytes;
use serde_json::json;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::invoker::{Invoker, Outcome};

/// Databases and brokers that are started at the same time may need a while.
const PATIENCE: Duration = Duration::from_secs(30);
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(1);

/// Invokes `function` as CloudFormation does when a stack is made, until it succeeds.
pub(super) async fn create(function: &str, invoker: &dyn Invoker) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    // Nobody waits for a callback, so there is no ResponseURL.
    let event = json!({
        "RequestType": "Create",
        "StackId": "local",
        "RequestId": Uuid::new_v4(),
        "LogicalResourceId": "AtDeploy",
        "ResourceType": "AWS::CloudFormation::CustomResource",
        "ResourceProperties": {},
    });
    let event = Bytes::from(event.to_string());
    loop {
        let failure = match invoker.invoke(function, event.clone()).await {
            Ok(Outcome::Success(_)) => return Ok(()),
            Ok(Outcome::FunctionError(failure)) => anyhow::Error::new(failure),
            Err(refusal) => refusal.into(),
        };
        if Instant::now() > deadline {
            return Err(failure).with_context(|| format!("{function} failed"));
        }
        tracing::warn!("{function} failed, trying it again: {failure:#}");
        sleep(BETWEEN_ATTEMPTS).await;
    }
}
