//! What a deployment does once: invokes the functions behind the template's custom resources.

use std::time::Duration;

use axum::body::Bytes;
use serde_json::json;
use tokio::time::sleep;
use uuid::Uuid;

use super::functions::Functions;
use super::prepare::Addresses;
use super::waiting::Wait;
use crate::announcements::Announcements;
use crate::invoker::{Invoker, Outcome};

/// Databases and brokers that are started at the same time may need a while.
const PATIENCE: Duration = Duration::from_secs(30);
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(1);

/// Invokes `function` as CloudFormation does when a stack is made, until it succeeds; tells what it waits for.
pub(super) async fn create(
    function: &str,
    functions: &Functions,
    addresses: &Addresses,
    announcements: Announcements,
) -> anyhow::Result<()> {
    let failure = format!("{function} did not succeed");
    let wait = Wait { patience: functions.patience(PATIENCE), announcements, failure: &failure };
    let invoker = functions.invoker();
    let created = until_it_succeeds(function, invoker.as_ref());
    wait.until(created, async || functions.trouble(addresses).await).await
}

async fn until_it_succeeds(function: &str, invoker: &dyn Invoker) -> anyhow::Result<()> {
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
        tracing::warn!("{function} failed, trying it again: {failure:#}");
        sleep(BETWEEN_ATTEMPTS).await;
    }
}
