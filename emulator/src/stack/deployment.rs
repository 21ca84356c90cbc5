//! What a deployment does once: invokes the functions behind the template's custom resources.

use std::time::Duration;

use axum::body::Bytes;
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use uuid::Uuid;

use super::backing_away;
use super::prepare::Addresses;
use crate::announcements::Announcements;
use crate::invoker::{Invoker, Outcome};

/// Databases and brokers that are started at the same time may need a while.
const PATIENCE: Duration = Duration::from_secs(30);
/// After so long it is told what is waited for.
const SILENCE: Duration = Duration::from_secs(5);
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(1);

/// Invokes `function` as CloudFormation does when a stack is made, until it succeeds; tells what it waits for.
pub(super) async fn create(
    function: &str,
    invoker: &dyn Invoker,
    addresses: &Addresses,
    announcements: &Announcements,
) -> anyhow::Result<()> {
    let start = Instant::now();
    let notice = async {
        sleep_until(start + SILENCE).await;
        let away = backing_away::describe(addresses).await;
        announcements.notice(&format!("waiting for up to {} s: {away}", PATIENCE.as_secs()));
        std::future::pending::<()>().await;
    };
    let created = timeout_at(start + PATIENCE, until_it_succeeds(function, invoker));
    let outcome = tokio::select! {
        outcome = created => outcome,
        () = notice => return Ok(()),
    };
    match outcome {
        Ok(created) => created,
        Err(_elapsed) => {
            let away = backing_away::describe(addresses).await;
            anyhow::bail!("{function} did not succeed within {} s: {away}", PATIENCE.as_secs())
        }
    }
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
