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
mod tests {
    use serde_json::json;
    use wiremock::matchers::method;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::failure::Failure;

    fn event(server: &MockServer, request_type: &str) -> Value {
        json!({
            "RequestType": request_type, "ResponseURL": format!("{}/answer?signature=x", server.uri()),
            "StackId": "stack", "RequestId": "request", "LogicalResourceId": "AtDeploy",
            "ResourceType": "AWS::CloudFormation::CustomResource", "ResourceProperties": {"ServiceTimeout": "300"},
        })
    }

    async fn answer_to(request_type: &str, result: Result<Summary, UpkeepError>) -> Value {
        let server = MockServer::start().await;
        Mock::given(method("PUT"))
            .respond_with(ResponseTemplate::new(200))
            .mount(&server)
            .await;

        let request = CustomResource::of(&event(&server, request_type)).unwrap();
        request.answer(&result).await.unwrap();

        let requests = server.received_requests().await.unwrap();
        assert_eq!(requests.len(), 1);
        assert!(!requests[0].headers.contains_key("content-type"));
        requests[0].body_json().unwrap()
    }

    #[tokio::test]
    async fn success_is_answered_with_the_request_s_own_ids() {
        assert_eq!(
            answer_to("Create", Ok(Summary::default())).await,
            json!({"Status": "SUCCESS", "PhysicalResourceId": "upkeep", "StackId": "stack",
                   "RequestId": "request", "LogicalResourceId": "AtDeploy"})
        );
    }

    #[tokio::test]
    async fn failure_is_answered_with_what_failed() {
        let failure = Failure {
            task: "topics".to_owned(),
            reason: "away".to_owned(),
        };

        let answer = answer_to("Update", Err(UpkeepError(vec![failure]))).await;
        assert_eq!(
            (&answer["Status"], &answer["Reason"]),
            (&json!("FAILED"), &json!("upkeep failed: topics: away"))
        );
    }

    #[tokio::test]
    async fn an_answer_is_tried_again_when_it_is_refused_at_first() {
        let server = MockServer::start().await;
        Mock::given(method("PUT"))
            .respond_with(ResponseTemplate::new(503))
            .up_to_n_times(1)
            .mount(&server)
            .await;
        Mock::given(method("PUT"))
            .respond_with(ResponseTemplate::new(200))
            .expect(1)
            .mount(&server)
            .await;

        let request = CustomResource::of(&event(&server, "Create")).unwrap();
        assert!(request.answer(&Ok(Summary::default())).await.is_ok());
    }

    #[test]
    fn the_example_events_ask_for_no_answer() {
        for event in [
            include_str!("../../../events/upkeep-create.json"),
            include_str!("../../../events/upkeep-scheduled.json"),
        ] {
            assert!(
                CustomResource::of(&serde_json::from_str(event).unwrap()).is_none(),
                "{event}"
            );
        }
    }

    #[test]
    fn what_is_no_custom_resource_asks_for_no_answer() {
        for event in [
            json!(null),
            json!({}),
            json!([1]),
            json!({"RequestType": "Create"}),
            json!("text"),
        ] {
            assert!(CustomResource::of(&event).is_none(), "{event}");
        }
    }
}
