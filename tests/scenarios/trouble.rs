//! Bad input, and backing services that are away.

use std::time::Duration;

use e2e::stack::{Options, Stack};
use e2e::waiting::until;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn every_bad_input_is_answered_with_a_problem_that_names_it() {
    let data = tempfile::tempdir().unwrap();
    let stack =
        Stack::start(Options { data_directory: data.path().into(), ..Options::default() }).await.unwrap();
    for (path, status, text) in [
        ("/prices/latest?symbol=NOSUCH", 404, "NOSUCH"),
        ("/prices/latest?symbol=AAPL&provider=nobody", 400, "replay"),
        ("/prices/latest", 422, "symbol"),
        ("/prices/average?symbol=AAPL&window=7", 422, "window"),
        ("/prices/average?symbol=NEVERSEEN", 404, "NEVERSEEN"),
        ("/prices/history?symbol=AAPL&limit=0&cursor=%21", 422, "limit"),
        ("/no/such/path", 404, "nothing at"),
    ] {
        let (answered, problem) = stack.get(path).await;
        assert_eq!(answered, status, "{path}: {problem}");
        assert!(problem.to_string().contains(text), "{path}: {problem}");
        assert_eq!(problem["status"], status, "{path}: {problem}");
    }
    let body = json!({"symbols": ["AAPL", "aapl", "", "A B"], "interval": 0, "provider": "replay"});
    let (status, problem) = stack.request(Method::POST, "/prices/poll", Some(&body)).await;
    assert_eq!(status, 422);
    let places: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().filter_map(|error| error["location"].as_str()).collect();
    for place in ["body.symbols[1]", "body.symbols[2]", "body.symbols[3]", "body.interval"] {
        assert!(places.contains(&place), "{place} in {problem}");
    }
    assert_eq!(stack.request(Method::PUT, "/prices/poll", None).await.0, 405);
    let large = json!({"symbols": ["A".repeat(1 << 20)]});
    assert_eq!(stack.request(Method::POST, "/prices/poll", Some(&large)).await.0, 413);
}

#[tokio::test]
async fn a_broker_that_is_away_stops_no_reads_and_is_told_by_health() {
    let data = tempfile::tempdir().unwrap();
    // Nothing listens on port 1: the functions' Kafka is away, the event source mapping's too.
    let environment = [("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")];
    let options = Options { data_directory: data.path().into(), environment: &environment, flags: &[] };
    let started = tokio::time::timeout(Duration::from_secs(120), Stack::start(options)).await;
    assert!(
        started.is_err() || started.unwrap().is_err(),
        "a stack whose broker is away must not say it is ready"
    );
}

#[tokio::test]
async fn a_database_of_the_users_own_is_brought_up_to_date_and_used() {
    let url = e2e::postgres::empty_database_url().await.unwrap();
    let data = tempfile::tempdir().unwrap();
    let environment = [("DATABASE_URL", url.as_str())];
    let options = Options { data_directory: data.path().into(), environment: &environment, flags: &[] };
    let stack = Stack::start(options).await.unwrap();
    assert_eq!(stack.ready.database_url, url);
    assert_eq!(stack.get("/prices/latest?symbol=FB").await.0, 200);
    until("point in the user's database", Duration::from_secs(10), async || {
        let database = stack.database().unwrap();
        let count: i64 =
            sqlx::query_scalar("select count(*) from price_points").fetch_one(&database).await.unwrap();
        (count == 1).then_some(())
    })
    .await;
}
