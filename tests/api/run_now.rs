//! Jobs that are polled on request, over HTTP.

use serde_json::{Value, json};
use shared::repository::polling_runs;
use uuid::Uuid;
use wiremock::matchers::any;
use wiremock::{Mock, ResponseTemplate};

use crate::fixture::{Answered, Api};

/// A job, by the API: its path.
async fn job(api: &Api) -> String {
    let body = json!({"symbols": ["A"], "interval": 60}).to_string();
    let created = api.send("POST", "/prices/poll", body).await;
    created.location.expect("a location")
}

async fn run(api: &Api, job: &str, key: Option<&str>) -> Answered {
    let headers: Vec<_> = key
        .map(|key| ("idempotency-key", key))
        .into_iter()
        .collect();
    let path = format!("{job}/run");
    api.send_with("POST", &path, String::new(), &headers).await
}

/// The events that were left for the poller.
async fn events(api: &Api) -> Vec<Value> {
    let requests = api.lambda.received_requests().await.expect("requests");
    let events = requests.iter().map(wiremock::Request::body_json);
    events.map(|event| event.expect("JSON")).collect()
}

/// Lambda answers this from now on.
async fn lambda_answers(api: &Api, status: u16) {
    api.lambda.reset().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(status))
        .mount(&api.lambda)
        .await;
}

#[tokio::test]
async fn a_run_is_stored_before_the_poller_is_invoked_and_is_shown() {
    let api = Api::start().await;
    let job = job(&api).await;

    let asked = run(&api, &job, None).await;
    assert_eq!(asked.status, 202, "{}", asked.text);
    let answer = asked.json();
    assert_eq!(answer["status"], "requested");
    assert_eq!(
        events(&api).await,
        [json!({"job_id": answer["job_id"], "requested_at": answer["requested_at"]})]
    );

    let location = asked.location.expect("a location");
    let shown = api.get(&location).await.json();
    assert_eq!(
        (&shown["run_id"], &shown["status"], &shown["requested"]),
        (&answer["run_id"], &json!("requested"), &json!(true))
    );
    let listed = api.get(&format!("{job}/runs")).await;
    assert_eq!(listed.each("run_id"), [answer["run_id"].clone()]);
    assert_eq!(api.get(&job).await.json()["last_run"], Value::Null);
}

#[tokio::test]
async fn the_same_key_gives_the_same_run_and_invokes_the_poller_while_it_waits() {
    let api = Api::start().await;
    let (job, other) = (job(&api).await, job(&api).await);

    let first = run(&api, &job, Some("one")).await.json();
    let again = run(&api, &job, Some("one")).await.json();
    assert_eq!(again["run_id"], first["run_id"]);
    assert_eq!(events(&api).await.len(), 2, "the first event may be lost");

    let foreign = run(&api, &other, Some("one")).await;
    assert_eq!(foreign.status, 422, "{}", foreign.text);
    assert_eq!(
        foreign.json()["type"],
        "/docs#idempotency-key-reused",
        "{}",
        foreign.text
    );
    let runs = api.get(&format!("{other}/runs")).await;
    assert_eq!(runs.json()["items"], json!([]), "nothing is left behind");
}

#[tokio::test]
async fn while_lambda_is_away_the_run_waits_and_the_same_request_starts_it() {
    let api = Api::start().await;
    let job = job(&api).await;

    lambda_answers(&api, 503).await;
    let refused = run(&api, &job, None).await;
    refused.assert_unavailable("poller-unavailable");
    let detail = refused.json()["detail"].as_str().map(str::to_owned);
    assert!(
        detail.is_some_and(|detail| detail.contains("sent again, starts it")),
        "{}",
        refused.text
    );
    assert_eq!(events(&api).await.len(), 2, "one attempt and another");

    lambda_answers(&api, 202).await;
    let run = run(&api, &job, None).await;
    assert_eq!(run.status, 202, "{}", run.text);
    let runs = api.get(&format!("{job}/runs")).await;
    assert_eq!(runs.each("run_id"), [run.json()["run_id"].clone()]);
}

#[tokio::test]
async fn a_refusal_of_lambda_says_what_is_missing_and_not_to_try_again() {
    let api = Api::start().await;
    let job = job(&api).await;

    lambda_answers(&api, 403).await;
    let refused = run(&api, &job, None).await;
    let problem = refused.json();
    assert_eq!(
        (refused.status, &problem["type"]),
        (503, &json!("/docs#poller-unavailable"))
    );
    assert_eq!(refused.retry_after, None, "waiting does not help");
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(detail.contains("lambda:InvokeFunction"), "{detail}");
}

#[tokio::test]
async fn what_has_no_run_is_a_404() {
    let api = Api::start().await;
    let (job, nobody) = (job(&api).await, Uuid::new_v4());
    let foreign = polling_runs::run_id(nobody, "2026-11-28T10:00:00Z".parse().expect("a time"));

    for (path, status) in [
        (format!("/prices/poll/{nobody}/runs/{foreign}"), 404),
        (format!("{job}/runs/{foreign}"), 404),
        (format!("{job}/runs/{nobody}"), 404),
        (format!("{job}/runs/one"), 422),
    ] {
        let answered = api.get(&path).await;
        assert_eq!(answered.status, status, "{path}: {}", answered.text);
    }

    let absent = run(&api, &format!("/prices/poll/{nobody}"), None).await;
    assert_eq!(absent.status, 404, "{}", absent.text);
    let faulty = run(&api, &job, Some("a b")).await;
    assert_eq!(faulty.status, 422, "{}", faulty.text);
    assert_eq!(events(&api).await, Vec::<Value>::new());
}
