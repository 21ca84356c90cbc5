//! The client of EventBridge Scheduler: what it sends, and what it makes of the answers.

use e2e::schedules::{GROUP, TARGET_ARN, schedules_at};
use serde_json::{Value, json};
use shared::market::Timestamp;
use shared::schedules::Schedules;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use uuid::Uuid;
use wiremock::matchers::{method, path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};

const JOB: Uuid = Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001);

fn schedules(server: &MockServer) -> Schedules {
    schedules_at(&server.uri())
}

fn refusal(status: u16, code: &str) -> ResponseTemplate {
    ResponseTemplate::new(status)
        .insert_header("x-amzn-ErrorType", code)
        .set_body_json(json!({"Message": "no"}))
}

async fn server_answering(verb: &str, answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method(verb))
        .and(path(format!("/schedules/{JOB}")))
        .respond_with(answer)
        .mount(&server)
        .await;
    server
}

fn start() -> Timestamp {
    Timestamp::from_timestamp(1_780_000_000, 0).expect("a time")
}

#[tokio::test]
async fn a_schedule_carries_the_job_and_first_fires_at_its_start() {
    let server = server_answering(
        "POST",
        ResponseTemplate::new(200).set_body_json(json!({"ScheduleArn": "arn"})),
    )
    .await;
    schedules(&server).create(JOB, 120, start()).await.unwrap();

    let body: Value = server.received_requests().await.unwrap()[0]
        .body_json()
        .unwrap();
    assert_eq!(body["GroupName"], GROUP);
    assert_eq!(body["ScheduleExpression"], "rate(2 minutes)");
    assert_eq!(body["StartDate"], 1_780_000_000);
    assert_eq!(body["FlexibleTimeWindow"]["Mode"], "OFF");
    assert_eq!(body["Target"]["Arn"], TARGET_ARN);

    let input: Value = serde_json::from_str(body["Target"]["Input"].as_str().unwrap()).unwrap();
    assert_eq!(input["job_id"], JOB.to_string());
    assert_eq!(input["scheduled_time"], "<aws.scheduler.scheduled-time>");
}

#[tokio::test]
async fn creating_a_schedule_that_exists_is_success() {
    let server = server_answering("POST", refusal(409, "ConflictException")).await;
    assert!(schedules(&server).create(JOB, 60, start()).await.is_ok());
}

#[tokio::test]
async fn deleting_a_schedule_that_does_not_exist_is_success() {
    let server = server_answering("DELETE", refusal(404, "ResourceNotFoundException")).await;
    assert!(schedules(&server).delete(JOB).await.is_ok());
    assert_eq!(
        server.received_requests().await.unwrap()[0]
            .url
            .query_pairs()
            .find(|(name, _)| name == "groupName"),
        Some(("groupName".into(), "jobs".into()))
    );
}

#[tokio::test]
async fn any_other_refusal_is_an_error_that_tells_its_cause_to_the_log_alone() {
    let server = server_answering("POST", refusal(400, "ValidationException")).await;
    let error = schedules(&server)
        .create(JOB, 60, start())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "EventBridge Scheduler did not create the schedule"
    );
    assert!(
        error.reason.contains("ValidationException"),
        "{}",
        error.reason
    );
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_an_error() {
    let server = MockServer::builder().start().await;
    let schedules = schedules(&server);
    drop(server);

    let error = schedules.delete(JOB).await.unwrap_err();
    assert!(
        error.reason.contains("Connection refused"),
        "{}",
        error.reason
    );
}

#[tokio::test]
async fn a_call_whose_connection_breaks_is_tried_once_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let schedules = schedules_at(&format!("http://{}", listener.local_addr().unwrap()));
    let server = async {
        for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"] {
            let (mut connection, _) = listener.accept().await.unwrap();
            let _read = connection.read(&mut [0; 1_024]).await.unwrap();
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
    };

    let (deleted, ()) = tokio::join!(schedules.delete(JOB), server);
    assert!(deleted.is_ok(), "{deleted:?}");
}

#[tokio::test]
async fn every_page_of_schedules_is_listed() {
    let server = MockServer::start().await;
    let page = |name: &str, next: Option<&str>| {
        ResponseTemplate::new(200)
            .set_body_json(json!({"Schedules": [{"Name": name}], "NextToken": next}))
    };

    Mock::given(path("/schedules"))
        .and(query_param("ScheduleGroup", "jobs"))
        .and(query_param_is_missing("NextToken"))
        .respond_with(page("first", Some("more")))
        .mount(&server)
        .await;
    Mock::given(path("/schedules"))
        .and(query_param("NextToken", "more"))
        .respond_with(page("second", None))
        .mount(&server)
        .await;

    let listed = schedules(&server).list().await.unwrap();
    assert_eq!(
        listed
            .iter()
            .map(|schedule| schedule.name.as_str())
            .collect::<Vec<_>>(),
        ["first", "second"]
    );
}
