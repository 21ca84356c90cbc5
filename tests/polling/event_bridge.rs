//! A stub of EventBridge Scheduler, on which requests for schedules are recorded.

use e2e::schedules::schedules_at;
use serde_json::{Value, json};
use shared::repository::polling_jobs::PollingJob;
use shared::repository::relays::Relay;
use shared::schedules::Schedules;
use wiremock::matchers::{method, path, path_regex};
use wiremock::{Mock, MockServer, ResponseTemplate};

pub(crate) async fn event_bridge(names: &[String]) -> MockServer {
    let server = MockServer::start().await;

    let schedules: Vec<Value> = names.iter().map(|name| json!({"Name": name})).collect();
    let list = ResponseTemplate::new(200).set_body_json(json!({"Schedules": schedules}));
    Mock::given(method("GET"))
        .and(path("/schedules"))
        .respond_with(list)
        .mount(&server)
        .await;

    let done = ResponseTemplate::new(200).set_body_json(json!({"ScheduleArn": "arn"}));
    Mock::given(path_regex("^/schedules/.+"))
        .respond_with(done)
        .mount(&server)
        .await;

    let none = ResponseTemplate::new(404)
        .insert_header("x-amzn-errortype", "ResourceNotFoundException")
        .set_body_json(json!({"Message": "none"}));
    let get = Mock::given(method("GET")).and(path_regex("^/schedules/.+"));
    get.respond_with(none).with_priority(4).mount(&server).await;

    server
}

/// The schedule that the product creates for a job, as `EventBridge` shows it.
pub(crate) async fn made_for(job: &PollingJob) -> Value {
    let server = event_bridge(&[]).await;
    schedules(&server)
        .create(job.job_id, job.interval_seconds, job.start_at)
        .await
        .expect("a schedule");

    let requests = server.received_requests().await.expect("requests");
    let made = requests[0].body_json().expect("a body");
    as_shown(&job.job_id.to_string(), made)
}

/// The schedule that the product creates for a relay, as `EventBridge` shows it.
pub(crate) async fn made_for_relay(relay: &Relay) -> Value {
    let server = event_bridge(&[]).await;
    schedules(&server)
        .create_relay(relay.relay_id, relay.start_at)
        .await
        .expect("a schedule");

    let requests = server.received_requests().await.expect("requests");
    let made = requests[0].body_json().expect("a body");
    as_shown(&format!("relay-{}", relay.relay_id), made)
}

/// Adds to a schedule's definition what `EventBridge` adds.
fn as_shown(name: &str, mut made: Value) -> Value {
    for (member, default) in [
        ("Name", json!(name)),
        ("State", json!("ENABLED")),
        ("ScheduleExpressionTimezone", json!("UTC")),
        ("ActionAfterCompletion", json!("NONE")),
    ] {
        made[member] = default;
    }
    made
}

/// A stub that has this schedule for a job.
pub(crate) async fn event_bridge_showing(job: &PollingJob, schedule: Value) -> MockServer {
    let server = event_bridge(&[job.job_id.to_string()]).await;
    show(
        &server,
        job,
        ResponseTemplate::new(200).set_body_json(schedule),
    )
    .await;

    server
}

pub(crate) async fn show(server: &MockServer, job: &PollingJob, answer: ResponseTemplate) {
    show_named(server, &job.job_id.to_string(), answer).await;
}

pub(crate) async fn show_named(server: &MockServer, name: &str, answer: ResponseTemplate) {
    let get = Mock::given(method("GET")).and(path(format!("/schedules/{name}")));
    get.respond_with(answer)
        .with_priority(1)
        .mount(server)
        .await;
}

pub(crate) fn schedules(server: &MockServer) -> Schedules {
    schedules_at(&server.uri())
}

/// The requests that changed schedules: the method, the schedule's name, and the start of a new
/// one.
pub(crate) async fn changes(server: &MockServer) -> Vec<(String, String, Value)> {
    let requests = server.received_requests().await.expect("requests");

    let changes = requests
        .iter()
        .filter(|request| request.method.as_str() != "GET")
        .map(|request| {
            let body: Value = request.body_json().unwrap_or_default();
            (
                request.method.to_string(),
                request.url.path().replace("/schedules/", ""),
                body["StartDate"].clone(),
            )
        });

    changes.collect()
}
