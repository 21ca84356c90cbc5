//! While Kafka is unavailable, stored quotes are served, other requests are refused, and no
//! provider is asked for quotes that could not be published.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use e2e::waiting::until;
use serde_json::{Value, json};

use crate::fixture::{Api, polled};

/// An API with a fresh quote of MSFT, in which a publish has just failed.
async fn just_after_a_failed_publish() -> Api {
    let api = Api::start().await;

    let now = Utc::now();
    api.store(&[polled(
        "MSFT",
        "quoter",
        "7.5",
        now - TimeDelta::hours(1),
        now,
    )])
    .await;

    api.log.fail_next(1);
    api.get("/prices/latest?symbol=AAPL")
        .await
        .assert_unavailable("kafka-unavailable");
    assert_eq!(api.quoter.asked().len(), 1);

    api
}

#[tokio::test]
async fn fresh_stored_quotes_are_served_and_all_others_are_503_without_asking_the_provider() {
    let api = just_after_a_failed_publish().await;
    for path in [
        "symbol=AAPL",
        "symbol=MSFT&max_age=0",
        "symbol=AAPL&provider=spare",
    ] {
        api.get(&format!("/prices/latest?{path}"))
            .await
            .assert_unavailable("kafka-unavailable");
    }

    let stored = api.get("/prices/latest?symbol=MSFT&max_age=600").await;
    assert_eq!((stored.status, &stored.json()["price"]), (200, &json!(7.5)));

    assert_eq!(
        api.quoter.asked().len(),
        1,
        "no provider was asked for a quote that cannot be published"
    );
    assert!(api.log.events().is_empty());
}

#[tokio::test]
async fn reads_that_do_not_need_kafka_answer() {
    let api = just_after_a_failed_publish().await;

    for path in [
        "/prices/average?symbol=MSFT",
        "/prices/history?symbol=MSFT",
        "/symbols",
        "/prices/poll",
        "/docs",
    ] {
        assert_eq!(api.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_list_has_the_quotes_that_are_stored_and_a_problem_for_each_other_symbol() {
    let api = just_after_a_failed_publish().await;
    let answered = api
        .get("/prices/latest?symbols=AAPL,MSFT,IBM&max_age=600")
        .await;

    assert_eq!(answered.status, 200);
    assert_eq!(
        answered.each("price"),
        [Value::Null, json!(7.5), Value::Null]
    );

    let problems = answered.each("problem");
    assert_eq!(
        (&problems[0]["status"], &problems[2]["retry_after"]),
        (&json!(503), &json!(5))
    );
}

#[tokio::test]
async fn the_pause_ends_by_itself() {
    let api = just_after_a_failed_publish().await;

    let answered = until(
        "answer after the pause",
        Duration::from_secs(15),
        async || {
            let answered = api.get("/prices/latest?symbol=AAPL").await;
            (answered.status == 200).then_some(answered)
        },
    )
    .await;

    assert_eq!(
        answered.json()["price"],
        json!(102),
        "the second request to the provider"
    );
    assert_eq!((api.quoter.asked().len(), api.log.events().len()), (2, 1));
}

#[tokio::test]
async fn of_events_published_together_only_the_acknowledged_are_answered() {
    let api = Api::start().await;

    api.log.fail_next(1);
    let answered = api.get("/prices/latest?symbols=AAPL,IBM").await;

    assert_eq!(answered.each("price"), [Value::Null, json!(101)]);
    assert_eq!(
        answered.each("problem")[0]["type"],
        "/docs#kafka-unavailable"
    );
}

#[tokio::test]
async fn health_is_503_and_says_which_part_it_is() {
    let api = Api::start().await;

    assert_eq!(api.get("/health").await.status, 200);

    api.log.fail_next(1);
    let answered = api.get("/health").await;
    let health = answered.json();

    assert_eq!(
        (answered.status, &health["status"]),
        (503, &json!("unavailable"))
    );
    assert_eq!(health["checks"]["kafka"]["status"], "unavailable");
    assert_eq!(health["checks"]["postgres"]["status"], "ok");
}
