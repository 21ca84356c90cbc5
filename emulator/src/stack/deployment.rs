//! What a deployment does once: it invokes the functions behind the template's custom resources.

use std::sync::{Mutex, PoisonError};
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
use crate::pauses::Pauses;

/// Databases and brokers that are started at the same time may not be ready yet.
const PATIENCE: Duration = Duration::from_secs(30);
/// The first pause between two attempts, which doubles up to the longest: the function logs each
/// failure.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));

/// Invokes `function` as CloudFormation does when it creates a stack, until it succeeds. Announces
/// why it waits.
pub(super) async fn create(
    function: &str,
    functions: &Functions,
    addresses: &Addresses,
    announcements: Announcements,
) -> anyhow::Result<()> {
    let failure = format!("{function} did not succeed");
    let wait = Wait {
        patience: functions.patience(PATIENCE),
        announcements,
        failure: &failure,
    };

    let invoker = functions.invoker();
    let last_failure = Mutex::new(None);
    let created = until_it_succeeds(function, invoker.as_ref(), &last_failure);

    let why = async || {
        let trouble = functions.trouble(addresses).await;
        match last_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
        {
            Some(failure) => format!("{trouble}. It said: {failure}"),
            None => trouble,
        }
    };

    wait.until(created, why).await
}

async fn until_it_succeeds(
    function: &str,
    invoker: &dyn Invoker,
    last_failure: &Mutex<Option<String>>,
) -> anyhow::Result<()> {
    // The emulator reads the answer itself, so there is no ResponseURL.
    let event = json!({
        "RequestType": "Create",
        "StackId": "local",
        "RequestId": Uuid::new_v4(),
        "LogicalResourceId": "AtDeploy",
        "ResourceType": "AWS::CloudFormation::CustomResource",
        "ResourceProperties": {},
    });

    let event = Bytes::from(event.to_string());
    let mut pauses = Pauses::new(PAUSES.0, PAUSES.1);

    loop {
        let failure = match invoker.invoke(function, event.clone()).await {
            Ok(Outcome::Success(_)) => return Ok(()),
            Ok(Outcome::FunctionError(failure)) => anyhow::Error::new(failure),
            Err(refusal) => refusal.into(),
        };

        let failure = format!("{failure:#}");

        let before = last_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(failure.clone());

        if before.as_ref() != Some(&failure) {
            tracing::warn!(
                function,
                failure,
                "function {function} failed; retrying: {failure}"
            );
        }

        sleep(pauses.next()).await;
    }
}
