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
        include_str!("../../../../events/upkeep-create.json"),
        include_str!("../../../../events/upkeep-scheduled.json"),
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
