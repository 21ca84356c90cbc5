//! Bad input, and backing services that are unavailable.

use std::time::Duration;

use e2e::stack::{Options, Stack};
use e2e::waiting::until;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn every_bad_input_is_answered_with_a_problem_that_names_it() {
    let data = tempfile::tempdir().unwrap();
    let stack = Stack::start_in(data.path()).await.unwrap();

    for (path, status, text) in [
        ("/prices/latest?symbol=NOSUCH", 404, "NOSUCH"),
        ("/prices/latest?symbol=AAPL&provider=nobody", 400, "replay"),
        ("/prices/latest", 422, "symbol"),
        ("/prices/average?symbol=AAPL&window=1", 422, "window"),
        ("/prices/average?symbol=NEVERSEEN", 404, "NEVERSEEN"),
        (
            "/prices/history?symbol=AAPL&limit=0&cursor=%21",
            422,
            "limit",
        ),
        ("/no/such/path", 404, "nothing at"),
    ] {
        let (answered, problem) = stack.get(path).await;
        assert_eq!(answered, status, "{path}: {problem}");
        assert!(problem.to_string().contains(text), "{path}: {problem}");
        assert_eq!(problem["status"], status, "{path}: {problem}");
    }

    let body = json!({"symbols": ["AAPL", "aapl", "", "A B"], "interval": 0, "provider": "replay"});
    let (status, problem) = stack
        .request(Method::POST, "/prices/poll", Some(&body))
        .await;

    assert_eq!(status, 422);

    let places: Vec<&str> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|error| error["location"].as_str())
        .collect();

    for place in [
        "body.symbols[1]",
        "body.symbols[2]",
        "body.symbols[3]",
        "body.interval",
    ] {
        assert!(places.contains(&place), "{place} in {problem}");
    }

    assert_eq!(
        stack.request(Method::PUT, "/prices/poll", None).await.0,
        405
    );

    let large = json!({"symbols": ["A".repeat(1 << 20)]});
    assert_eq!(
        stack
            .request(Method::POST, "/prices/poll", Some(&large))
            .await
            .0,
        413
    );
}

#[tokio::test]
async fn a_malformed_variable_ends_the_start_with_exit_status_2_and_one_line_that_names_it() {
    for (variable, value) in [
        ("DEFAULT_PROVIDER", "nobody"),
        ("REPLAY_STEP_SECONDS", "often"),
        ("RELAY_JOBS", "0"),
        ("RAW_RESPONSES_RETENTION_DAYS", "some"),
        ("POLLING_INTERVAL", "0"),
    ] {
        let data = tempfile::tempdir().unwrap();
        let environment = [(variable, value)];
        let options = Options {
            data_directory: data.path().into(),
            environment: &environment,
            flags: &[],
        };

        let (status, stderr) = Stack::refusal(options).await.unwrap();
        assert_eq!(status, Some(2), "{variable}: {stderr}");
        assert_eq!(
            stderr
                .lines()
                .filter(|line| line.contains(variable))
                .count(),
            1,
            "{variable}: {stderr}"
        );
    }
}

#[tokio::test]
async fn a_kafka_that_is_away_ends_the_start_and_is_named() {
    ends_the_start("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1", "127.0.0.1:1").await;
}

#[tokio::test]
async fn a_postgres_that_is_away_ends_the_start_and_is_named_without_its_password() {
    let url = "postgres://me:secret@127.0.0.1:1/prices";
    ends_the_start("DATABASE_URL", url, "postgres://me@127.0.0.1:1/prices").await;
}

#[tokio::test]
async fn a_postgres_that_does_not_let_the_functions_in_ends_the_start_with_its_reason() {
    let url = e2e::postgres::empty_database_url().await.unwrap();
    let missing = url.replace("/test_", "/nothing_");
    ends_the_start(
        "DATABASE_URL",
        &missing,
        "Postgres has no database of the name in DATABASE_URL",
    )
    .await;
}

/// Asserts that the start fails with exit status 1 and names the variable, but no password. Nothing
/// listens on port 1.
async fn ends_the_start(variable: &str, value: &str, shown: &str) {
    let data = tempfile::tempdir().unwrap();
    let environment = [(variable, value)];
    let options = Options {
        data_directory: data.path().into(),
        environment: &environment,
        flags: &[],
    };

    let (status, stderr) = Stack::refusal(options).await.unwrap();
    assert_eq!(status, Some(1), "{stderr}");

    let last = stderr.lines().next_back().unwrap_or_default();
    assert!(last.contains(variable) && last.contains(shown), "{stderr}");
    assert!(!stderr.contains("secret"), "{stderr}");
}

#[tokio::test]
async fn a_database_of_the_users_own_is_brought_up_to_date_and_used() {
    let url = e2e::postgres::empty_database_url().await.unwrap();
    let data = tempfile::tempdir().unwrap();
    let environment = [("DATABASE_URL", url.as_str())];
    let options = Options {
        data_directory: data.path().into(),
        environment: &environment,
        flags: &[],
    };

    let stack = Stack::start(options).await.unwrap();
    assert_eq!(stack.ready.database_url, url);

    assert_eq!(stack.get("/prices/latest?symbol=FB").await.0, 200);

    until(
        "point in the user's database",
        Duration::from_secs(10),
        async || {
            let database = stack.database().unwrap();
            let count: i64 = sqlx::query_scalar("select count(*) from price_points")
                .fetch_one(&database)
                .await
                .unwrap();

            (count == 1).then_some(())
        },
    )
    .await;
}
