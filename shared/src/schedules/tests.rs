use aws_config::Region;
use aws_sdk_scheduler::config::{Credentials, SharedCredentialsProvider};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use wiremock::matchers::{method, path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

const JOB: Uuid = Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001);

fn schedules(server: &MockServer) -> Schedules {
    schedules_at(server.uri())
}

fn schedules_at(endpoint: String) -> Schedules {
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "x", "x", None, None, "test",
        )))
        .endpoint_url(endpoint)
        .build();

    let config = config::ScheduleSettings {
        group: "jobs".to_owned(),
        target_arn: "arn:aws:lambda:us-east-1:000000000000:function:poller".to_owned(),
        role_arn: "arn:aws:iam::000000000000:role/scheduler".to_owned(),
    };

    Schedules::new(&sdk, &config)
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
    Timestamp::from_timestamp(1_780_000_000, 0).unwrap()
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
    assert_eq!(body["GroupName"], "jobs");
    assert_eq!(body["ScheduleExpression"], "rate(2 minutes)");
    assert_eq!(body["StartDate"], 1_780_000_000);
    assert_eq!(body["FlexibleTimeWindow"]["Mode"], "OFF");
    assert_eq!(
        body["Target"]["Arn"],
        "arn:aws:lambda:us-east-1:000000000000:function:poller"
    );

    let input: Value = serde_json::from_str(body["Target"]["Input"].as_str().unwrap()).unwrap();
    assert_eq!(input["job_id"], JOB.to_string());
    assert_eq!(input["scheduled_time"], "<aws.scheduler.scheduled-time>");
}

#[test]
fn intervals_that_are_no_whole_minutes_fire_each_minute() {
    for interval in [1, 59, 60, 61, 90, 86_399] {
        assert_eq!(
            definition::expression(interval),
            "rate(1 minute)",
            "{interval}"
        );
    }
    assert_eq!(definition::expression(86_400), "rate(1440 minutes)");
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
    let schedules = schedules_at(format!("http://{}", listener.local_addr().unwrap()));
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
