//! Two providers, of which the first one answers 429: the whole stack.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::Utc;
use e2e::stack::{Options, Stack};
use e2e::waiting::until;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

/// How long the first provider asks to be left alone; the stack is restarted meanwhile.
const LIMITED_FOR: Duration = Duration::from_secs(40);

async fn provider(stack: &Stack, name: &str) -> Value {
    let (status, listed) = stack.get("/providers").await;
    assert_eq!(status, 200, "{listed}");
    let items = listed["items"].as_array().cloned().unwrap_or_default();
    items
        .into_iter()
        .find(|item| item["provider"] == name)
        .unwrap_or_default()
}

async fn count(stack: &Stack, provider: &str) -> i64 {
    let database = stack.database().expect("as in every test");
    sqlx::query_scalar(
        "select count(*) from price_points join series using (series_id) where provider = $1",
    )
    .bind(provider)
    .fetch_one(&database)
    .await
    .unwrap_or(0)
}

/// Waits until so many further points of this provider are stored.
async fn further_points(stack: &Stack, provider: &str, more: i64) {
    let before = count(stack, provider).await;
    let what = format!("{more} points of {provider}");
    until(&what, Duration::from_secs(60), async || {
        (count(stack, provider).await >= before + more).then_some(())
    })
    .await;
}

/// A server that plays Yahoo: it limits us once, and then has quotes. Each request's time is noted.
async fn yahoo(asked: &Arc<Mutex<Vec<Instant>>>) -> MockServer {
    let asked = Arc::clone(asked);
    let answer = move |_: &Request| {
        let mut asked = asked.lock().unwrap();
        asked.push(Instant::now());
        if asked.len() == 1 {
            return ResponseTemplate::new(429)
                .insert_header("Retry-After", LIMITED_FOR.as_secs().to_string())
                .set_body_string("Edge: Too Many Requests");
        }

        let entry = |symbol: &str| {
            json!({"symbol": symbol, "response": [{"meta": {
                "symbol": symbol, "currency": "USD",
                "regularMarketPrice": 63_212.5, "regularMarketTime": Utc::now().timestamp(),
            }}]})
        };
        let entries = [entry("BTC-USD"), entry("ETH-USD")];
        ResponseTemplate::new(200)
            .set_body_json(json!({"spark": {"result": entries, "error": null}}))
    };

    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

/// A server that plays Coinbase.
async fn coinbase() -> MockServer {
    let answer = |_: &Request| {
        ResponseTemplate::new(200).set_body_json(json!({"price": "63213.97", "time": Utc::now()}))
    };

    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

#[tokio::test]
async fn a_job_s_points_keep_coming_from_the_second_provider_and_the_first_is_left_alone() {
    let asked = Arc::default();
    let (yahoo, coinbase) = (yahoo(&asked).await, coinbase().await);
    let times = || asked.lock().unwrap().clone();

    let data = tempfile::tempdir().unwrap();
    let urls = (yahoo.uri(), coinbase.uri());
    let environment = [
        ("DEFAULT_PROVIDER", "yahoo,coinbase"),
        ("YAHOO_BASE_URL", urls.0.as_str()),
        ("COINBASE_BASE_URL", urls.1.as_str()),
    ];
    let options = || Options {
        data_directory: data.path().into(),
        environment: &environment,
        flags: &[],
    };

    let stack = Stack::start(options()).await.unwrap();
    let body = json!({"symbols": ["BTC-USD", "ETH-USD"], "interval": 1});
    let (status, job) = stack
        .request(reqwest::Method::POST, "/prices/poll", Some(&body))
        .await;
    assert_eq!(
        (status, &job["config"]["provider"]),
        (202, &json!("yahoo,coinbase")),
        "{job}"
    );
    further_points(&stack, "coinbase", 6).await;

    let open = provider(&stack, "yahoo").await;
    assert_eq!(
        (&open["state"], &open["default_place"]),
        (&json!("open"), &json!(1)),
        "{open}"
    );
    assert!(
        open["until"].is_string() && open["reason"].is_string(),
        "{open}"
    );
    let (status, latest) = stack.get("/prices/latest?symbol=BTC-USD&max_age=0").await;
    assert_eq!(
        (status, &latest["provider"]),
        (200, &json!("coinbase")),
        "{latest}"
    );

    // The breaker outlives everything.
    assert_eq!(stack.stop(Signal::SIGTERM).await, Some(0));
    let stack = Stack::start(options()).await.unwrap();
    further_points(&stack, "coinbase", 6).await;
    assert_eq!(provider(&stack, "yahoo").await["until"], open["until"]);
    assert_eq!(times().len(), 1, "asked while its breaker was open");

    // Its end: the probe is answered, and the first provider gives the points again.
    until("closed breaker", LIMITED_FOR * 2, async || {
        (provider(&stack, "yahoo").await["state"] == "closed").then_some(())
    })
    .await;
    further_points(&stack, "yahoo", 4).await;
    let times = times();
    let pause = times[1].duration_since(times[0]);
    assert!(pause >= LIMITED_FOR, "asked after {pause:?}");
}
