//! How `GET /prices/latest` divides its time among several providers, and what it says if none of
//! them has a quote.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use shared::provider::{Limits, ProviderError};

use crate::fixture::{Api, polled};

/// Of this time, four seconds remain for the providers' answers.
const SHORT: Duration = Duration::from_secs(12);

async fn short() -> Api {
    Api::with_asking_time(
        e2e::postgres::database().await.expect("as in every test"),
        SHORT,
    )
    .await
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("S{number}")).collect()
}

fn unavailable(provider: &str) -> ProviderError {
    ProviderError::Unavailable {
        provider: provider.parse().expect("as in every test"),
        reason: "as told".to_owned(),
    }
}

#[tokio::test]
async fn a_silent_provider_leaves_the_next_one_time_for_all_symbols_of_a_long_list() {
    let api = short().await;
    let symbols = names(20);
    for symbol in &symbols {
        api.quoter.will_be_silent_about(symbol);
    }

    let path = format!(
        "/prices/latest?provider=quoter,spare&symbols={}",
        symbols.join(",")
    );
    let answered = tokio::time::timeout(SHORT, api.get(&path)).await;
    let answered = answered.expect("an answer in time");

    let providers = answered.each("provider");
    assert!(
        providers.iter().all(|name| name == "spare"),
        "{}",
        answered.text
    );
    let asked = api.quoter.asked().len();
    assert!(asked <= 4, "no further request after the first: {asked}");
}

#[tokio::test]
async fn waits_for_a_budget_do_not_add_up_while_another_provider_is_left() {
    let api = Api::start().await;
    api.quoter.will_allow(Limits {
        per_second: Some(1),
        ..Limits::unlimited(2)
    });

    let path = format!(
        "/prices/latest?provider=quoter,spare&symbols={}",
        names(20).join(",")
    );
    let answered = api.get(&path).await;

    let prices = answered.each("price");
    assert!(prices.iter().all(Value::is_number), "{}", answered.text);
    let asked = api.quoter.asked().len();
    assert!((1..=3).contains(&asked), "within a second or so: {asked}");
}

#[tokio::test]
async fn a_silent_provider_is_none_that_is_available() {
    let api = short().await;
    let then = Utc::now() - TimeDelta::minutes(10);
    api.store(&[polled("AAPL", "quoter", "7.5", then, then)])
        .await;
    api.quoter.will_be_silent_about("AAPL");
    api.spare.will_be_silent_about("AAPL");

    for list in ["quoter", "quoter,spare"] {
        let path = format!("/prices/latest?symbol=AAPL&provider={list}");
        let refused = api.get(&path).await;
        assert_eq!(refused.status, 503, "{}", refused.text);
        assert_eq!(refused.retry_after.as_deref(), Some("5"));

        let stale = api.get(&format!("{path}&stale_ok=true")).await;
        assert_eq!(stale.status, 200, "{}", stale.text);
        assert_eq!(stale.json()["stale"], json!(true));
    }
}

#[tokio::test]
async fn several_providers_without_an_answer_are_a_503_that_names_each() {
    let api = Api::start().await;
    api.quoter.will_fail(unavailable("quoter"));
    api.spare.will_fail(unavailable("spare"));

    let refused = api
        .get("/prices/latest?symbol=AAPL&provider=quoter,spare")
        .await;
    refused.assert_unavailable("no-provider-available");
    let detail = refused.json()["detail"].clone();
    assert_eq!(
        detail,
        "quoter is not available: as told; spare is not available: as told"
    );
}

#[tokio::test]
async fn that_a_provider_does_not_know_a_symbol_is_no_answer_where_another_one_may_know_it() {
    let pool = e2e::postgres::database().await.unwrap();
    let api = Api::falling_back_on_unknown_symbol(pool).await;
    let path = "/prices/latest?symbol=NOPE&max_age=0&provider=quoter,spare";

    api.spare.will_fail(unavailable("spare"));
    let refused = api.get(path).await;
    refused.assert_unavailable("provider-unavailable");

    let then = Utc::now() - TimeDelta::minutes(10);
    api.store(&[polled("NOPE", "spare", "7.5", then, then)])
        .await;
    api.spare.will_fail(unavailable("spare"));
    let stale = api.get(&format!("{path}&stale_ok=true")).await;
    assert_eq!(stale.json()["price"], json!(7.5), "{}", stale.text);

    let unknown = api.get(&format!("{path}&stale_ok=true")).await;
    assert_eq!(unknown.status, 404, "all say so: {}", unknown.text);
}

#[tokio::test]
async fn a_symbol_that_a_provider_cannot_have_takes_no_probe_and_stores_nothing() {
    let api = Api::start().await;
    api.quoter.will_fail(ProviderError::RateLimited {
        provider: "quoter".parse().unwrap(),
        retry_after: Some(Duration::from_secs(900)),
        scope: None,
    });
    assert_eq!(api.get("/prices/latest?symbol=AAPL").await.status, 503);
    sqlx::query("update request_budgets set open_until = now()")
        .execute(&api.pool)
        .await
        .unwrap();

    let unknown = api.get("/prices/latest?symbol=A/B").await;
    assert_eq!(unknown.status, 404, "{}", unknown.text);

    let listed = api.get("/providers").await.json();
    assert_eq!(listed["items"][0]["state"], "half_open", "{listed}");
    assert_eq!(api.quoter.asked(), [["AAPL"]]);
    let stored: i64 = sqlx::query_scalar("select count(*) from raw_responses")
        .fetch_one(&api.pool)
        .await
        .unwrap();
    assert_eq!(stored, 0);

    // The probe is still to be had.
    assert_eq!(api.get("/prices/latest?symbol=AAPL").await.status, 200);
}
