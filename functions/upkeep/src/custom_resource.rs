//! The custom resource that invokes upkeep at deploy: CloudFormation waits for an answer at its
//! URL.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Summary;
use crate::failure::UpkeepError;

/// Longest that one attempt to answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The resource's physical id. It never changes: CloudFormation deletes a resource whose id is
/// replaced.
const PHYSICAL_RESOURCE_ID: &str = "upkeep";

/// CloudFormation's request. Its URL is a secret: anyone who has it may answer.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CustomResource {
    request_type: String,
    #[serde(rename = "ResponseURL")]
    response_url: String,
    stack_id: String,
    request_id: String,
    logical_resource_id: String,
    physical_resource_id: Option<String>,
}

impl std::fmt::Debug for CustomResource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CustomResource")
            .field("request_type", &self.request_type)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    physical_resource_id: &'a str,
    stack_id: &'a str,
    request_id: &'a str,
    logical_resource_id: &'a str,
}

/// The answer did not arrive.
#[derive(Debug, thiserror::Error)]
#[error("the custom resource could not be answered")]
pub struct AnswerError(#[source] reqwest::Error);

impl From<reqwest::Error> for AnswerError {
    fn from(error: reqwest::Error) -> Self {
        Self(error.without_url())
    }
}

impl CustomResource {
    /// The request in `event`, if it expects an answer.
    #[must_use]
    pub fn of(event: &Value) -> Option<Self> {
        Self::deserialize(event)
            .ok()
            .filter(|request| !request.response_url.is_empty())
    }

    /// Whether the stack is being deleted.
    #[must_use]
    pub fn is_deletion(&self) -> bool {
        self.request_type == "Delete"
    }

    /// Reports the result of the request to CloudFormation.
    ///
    /// # Errors
    /// When the answer could not be delivered after several attempts.
    pub async fn answer(&self, result: &Result<Summary, UpkeepError>) -> Result<(), AnswerError> {
        let reason = result.as_ref().err().map(ToString::to_string);
        let answer = Answer {
            status: if reason.is_some() {
                "FAILED"
            } else {
                "SUCCESS"
            },
            reason,
            physical_resource_id: self
                .physical_resource_id
                .as_deref()
                .unwrap_or(PHYSICAL_RESOURCE_ID),
            stack_id: &self.stack_id,
            request_id: &self.request_id,
            logical_resource_id: &self.logical_resource_id,
        };

        // Sent without a content type: the URL is signed for a request without one.
        let body = serde_json::json!(answer).to_string();
        let client = reqwest::Client::builder().timeout(ANSWER_TIMEOUT).build()?;
        let put = async || {
            client
                .put(&self.response_url)
                .body(body.clone())
                .send()
                .await?
                .error_for_status()
                .map(|_| ())
        };

        put.retry(ExponentialBuilder::default()).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
