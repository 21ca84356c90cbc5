//! `GET /prices/latest` with several providers: who is asked, who answers, and who is left alone.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use shared::provider::ProviderError;

use crate::fixture::{Api, polled};

const BOTH: &str = "/prices/latest?symbol=AAPL&max_age=0&provider=quoter,spare";

fn limited(seconds: u64) -> ProviderError {
    ProviderError::RateLimited {
        provider: "quoter".parse().expect("as in every test"),
        retry_after: Some(Duration::from_secs(seconds)),
        scope: None,
    }
}

async fn provider(api: &Api, name: &str) -> Value {
    let listed = api.get("/providers").await.json();
    let items = listed["items"]
        .as_array()
        .expect("as in every test")
        .clone();
    items
        .into_iter()
        .find(|item| item["provider"] == name)
        .expect("as in every test")
}

/// Ends the pause of every open breaker, and waits until no instance remembers it.
async fn let_time_pass(api: &Api) {
    sqlx::query("update request_budgets set open_until = now()")
        .execute(&api.pool)
        .await
        .expect("as in every test");
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn the_next_provider_answers_and_the_limited_one_is_asked_again_only_by_one_probe() {
    let api = Api::start().await;
    api.quoter.will_fail(limited(900));

    for number in 0..5 {
        let answered = api.get(BOTH).await;
        assert_eq!(answered.status, 200, "{}", answered.text);
        assert_eq!(answered.json()["provider"], "spare");
        assert_eq!(answered.json()["price"], json!(101 + number));
    }
    assert_eq!(api.quoter.asked().len(), 1);

    let open = provider(&api, "quoter").await;
    assert_eq!(
        (&open["state"], &open["default_place"]),
        (&json!("open"), &json!(1))
    );
    assert_eq!(open["reason"], "quoter limits our requests");
    assert!(
        open["until"].is_string() && open["since"].is_string(),
        "{open}"
    );
    assert_eq!(provider(&api, "spare").await["state"], "closed");
    let health = api.get("/health").await.json();
    assert_eq!(health["checks"]["providers"]["quoter"]["state"], "open");
    assert_eq!(
        health["checks"]["providers"]["quoter"]["until"],
        open["until"]
    );

    // It outlives a restart.
    let restarted = Api::over(api.pool.clone()).await;
    assert_eq!(restarted.get(BOTH).await.json()["provider"], "spare");
    assert_eq!(restarted.quoter.asked().len(), 0);

    let_time_pass(&api).await;
    assert_eq!(provider(&api, "quoter").await["state"], "half_open");
    api.quoter.will_fail(limited(900));
    for _ in 0..5 {
        assert_eq!(api.get(BOTH).await.json()["provider"], "spare");
    }
    assert_eq!(api.quoter.asked().len(), 2, "the probe");

    let_time_pass(&api).await;
    for _ in 0..2 {
        assert_eq!(api.get(BOTH).await.json()["provider"], "quoter");
    }
    assert_eq!(provider(&api, "quoter").await["state"], "closed");
}

#[tokio::test]
async fn what_a_provider_does_not_know_or_cannot_price_is_not_asked_of_the_next() {
    let api = Api::start().await;

    for (symbol, status) in [("NOPE", 404), ("IDLE", 502)] {
        let path = format!("/prices/latest?symbols={symbol},AAPL&max_age=0&provider=quoter,spare");
        let items = api.get(&path).await.json()["items"].clone();
        assert_eq!(items[0]["problem"]["status"], status, "{items}");
        assert_eq!(items[1]["provider"], "quoter");
    }
    assert_eq!(api.spare.asked().len(), 0);
}

#[tokio::test]
async fn a_fresh_stored_quote_of_any_listed_provider_answers_the_first_one_first() {
    let api = Api::start().await;
    let now = Utc::now();
    let stored = |provider, price, seconds| {
        let at = now - TimeDelta::seconds(seconds);
        polled("AAPL", provider, price, at, at)
    };
    let path = "/prices/latest?symbol=AAPL&max_age=600&provider=quoter,spare";

    api.store(&[stored("spare", "2", 10), stored("other", "3", 1)])
        .await;
    assert_eq!(api.get(path).await.json()["provider"], "spare");
    api.store(&[stored("quoter", "1", 20)]).await;
    assert_eq!(api.get(path).await.json()["price"], json!(1));
    assert_eq!(api.quoter.asked().len() + api.spare.asked().len(), 0);
}

#[tokio::test]
async fn without_an_available_provider_the_last_price_answers_only_where_it_may_be_stale() {
    let api = Api::start().await;
    let then = Utc::now() - TimeDelta::minutes(10);
    api.store(&[polled("AAPL", "quoter", "7.5", then, then)])
        .await;
    api.quoter.will_fail(limited(600));

    let path = "/prices/latest?symbol=AAPL";
    assert_eq!(api.get(path).await.status, 503);
    let refused = api.get(path).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.json()["type"], "/docs#no-provider-available");
    let retry_after: u64 = refused.retry_after.unwrap().parse().unwrap();
    assert!((500..=600).contains(&retry_after), "{retry_after}");

    let stale = api.get(&format!("{path}&stale_ok=true")).await;
    assert_eq!(stale.status, 200, "{}", stale.text);
    let stale = stale.json();
    assert_eq!(
        (&stale["price"], &stale["stale"]),
        (&json!(7.5), &json!(true))
    );
    let age = stale["age"].as_u64().unwrap();
    assert!((600..700).contains(&age), "{age}");
    assert_eq!(api.quoter.asked().len(), 1);

    let unknown = api.get("/prices/latest?symbol=IBM&stale_ok=true").await;
    assert_eq!(unknown.status, 503, "there is no last price");
    let fresh = "/prices/latest?symbol=AAPL&provider=spare&stale_ok=true";
    let fresh = api.get(fresh).await.json();
    assert_eq!((fresh.get("stale"), fresh.get("age")), (None, None));
}

#[tokio::test]
async fn an_unknown_provider_in_a_list_is_named() {
    let api = Api::start().await;

    let refused = api
        .get("/prices/latest?symbol=A&provider=quoter,nobody")
        .await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("nobody"), "{}", refused.text);
    let refused = api.get("/prices/latest?symbol=A&provider=quoter,").await;
    assert_eq!(refused.status, 422, "{}", refused.text);
}
