//! Two providers, of which the first one answers 429: the whole stack.

use std::time::Duration;

use e2e::stack::{Options, Stack};
use e2e::waiting::until;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate};

async fn provider(stack: &Stack, name: &str) -> Value {
    let (status, listed) = stack.get("/providers").await;
    assert_eq!(status, 200, "{listed}");
    let items = listed["items"].as_array().cloned().unwrap_or_default();
    items
        .into_iter()
        .find(|item| item["provider"] == name)
        .unwrap_or_default()
}

/// Waits until the job has published so many points of `replay`.
async fn points(stack: &Stack, least: i64) {
    let database = stack.database().expect("as in every test");
    until("points", Duration::from_secs(60), async || {
        let points: i64 = sqlx::query_scalar(
            "select count(*) from price_points join series using (series_id) where provider = 'replay'",
        )
        .fetch_one(&database)
        .await
        .ok()?;
        (points >= least).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_job_s_points_keep_coming_from_the_second_provider_and_the_first_is_left_alone() {
    let limiting = MockServer::start().await;
    Mock::given(wiremock::matchers::any())
        .respond_with(ResponseTemplate::new(429).set_body_string("Edge: Too Many Requests"))
        .mount(&limiting)
        .await;

    let data = tempfile::tempdir().unwrap();
    let url = limiting.uri();
    let environment = [
        ("DEFAULT_PROVIDER", "yahoo,replay"),
        ("YAHOO_BASE_URL", url.as_str()),
        ("REPLAY_STEP_SECONDS", "1"),
    ];
    let options = || Options {
        data_directory: data.path().into(),
        environment: &environment,
        flags: &[],
    };

    let stack = Stack::start(options()).await.unwrap();
    let body = json!({"symbols": ["AAPL", "IBM"], "interval": 1});
    let (status, job) = stack
        .request(reqwest::Method::POST, "/prices/poll", Some(&body))
        .await;
    assert_eq!(
        (status, &job["config"]["provider"]),
        (202, &json!("yahoo,replay")),
        "{job}"
    );
    points(&stack, 6).await;

    let open = provider(&stack, "yahoo").await;
    assert_eq!(
        (&open["state"], &open["default_place"]),
        (&json!("open"), &json!(1)),
        "{open}"
    );
    let asked = limiting.received_requests().await.unwrap().len();
    assert_eq!(asked, 1);
    let (status, latest) = stack.get("/prices/latest?symbol=AAPL&max_age=0").await;
    assert_eq!(
        (status, &latest["provider"]),
        (200, &json!("replay")),
        "{latest}"
    );

    // The breaker outlives everything.
    assert_eq!(stack.stop(Signal::SIGTERM).await, Some(0));
    let stack = Stack::start(options()).await.unwrap();
    points(&stack, 12).await;
    assert_eq!(provider(&stack, "yahoo").await["until"], open["until"]);
    assert_eq!(limiting.received_requests().await.unwrap().len(), 1);

    // Its end: one probe, and open again.
    let database = stack.database().unwrap();
    sqlx::query("update request_budgets set open_until = now() where owner = 'yahoo'")
        .execute(&database)
        .await
        .unwrap();
    until("open breaker", Duration::from_secs(30), async || {
        (provider(&stack, "yahoo").await["state"] == "open").then_some(())
    })
    .await;
    assert_eq!(limiting.received_requests().await.unwrap().len(), 2);
}
