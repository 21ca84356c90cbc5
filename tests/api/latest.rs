//! `GET /prices/latest`: the quote is read from the store, or fetched and published.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use shared::market::Timestamp;
use shared::price_event::PriceEvent;
use shared::provider::{LimitScope, ProviderError, Refusal};

use crate::fixture::{Api, polled};

fn polled_ago(symbol: &str, seconds: i64) -> PriceEvent {
    let now = Utc::now();
    polled(
        symbol,
        "quoter",
        "7.5",
        now - TimeDelta::hours(1),
        now - TimeDelta::seconds(seconds),
    )
}

#[tokio::test]
async fn what_is_answered_was_published_and_its_raw_response_stored() {
    let api = Api::start().await;

    let answered = api.get("/prices/latest?symbol=aapl").await;
    assert_eq!(answered.status, 200, "{}", answered.text);

    let quote = answered.json();
    assert_eq!(
        (&quote["symbol"], &quote["provider"]),
        (&json!("AAPL"), &json!("quoter"))
    );
    assert_eq!(
        (&quote["price"], &quote["currency"]),
        (&json!(101), &json!("USD"))
    );

    let events = api.log.events();
    assert_eq!(events.len(), 1);
    let event = &events[0];
    let time = |field: &str| quote[field].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert_eq!(
        (time("timestamp"), time("polled_at")),
        (event.timestamp, event.polled_at)
    );

    let raw: (uuid::Uuid, String, Vec<String>) = sqlx::query_as(
        "select raw_response_id, body, symbols from raw_responses where received_at = $1",
    )
    .bind(event.polled_at)
    .fetch_one(&api.pool)
    .await
    .unwrap();

    assert_eq!(
        raw,
        (
            event.raw_response_id.unwrap(),
            "answer 1".to_owned(),
            vec!["AAPL".to_owned()]
        )
    );
}

#[tokio::test]
async fn a_quote_polled_within_max_age_is_answered_without_asking_and_an_older_one_is_asked_for_again()
 {
    let api = Api::start().await;

    api.store(&[polled_ago("AAPL", 30)]).await;
    let stored = api
        .get("/prices/latest?symbol=AAPL&max_age=600")
        .await
        .json();
    assert_eq!(stored["price"], json!(7.5), "{stored}");
    assert_eq!(api.quoter.asked().len(), 0);

    for (path, times) in [
        ("symbol=AAPL&max_age=29", 1),
        ("symbol=AAPL&max_age=29", 1),
        ("symbol=AAPL&max_age=0", 2),
        ("symbol=AAPL&max_age=0", 3),
    ] {
        let asked = api.get(&format!("/prices/latest?{path}")).await.json();
        assert_eq!(asked["price"], json!(100 + times), "{path}");
        assert_eq!(api.quoter.asked().len(), times, "{path}");
    }
}

#[tokio::test]
async fn the_store_of_another_provider_is_no_answer() {
    let api = Api::start().await;
    api.store(&[polled_ago("AAPL", 1)]).await;

    let spare = api
        .get("/prices/latest?symbol=AAPL&provider=spare&max_age=600")
        .await
        .json();
    assert_eq!(
        (&spare["provider"], &spare["price"]),
        (&json!("spare"), &json!(101))
    );
}

#[tokio::test]
async fn a_quote_polled_in_the_future_is_fresh_no_longer_than_clocks_may_differ() {
    let api = Api::start().await;
    api.store(&[polled_ago("FAR", -50 * 60), polled_ago("NEAR", -4 * 60)])
        .await;

    let price = async |symbol: &str| {
        api.get(&format!("/prices/latest?symbol={symbol}&max_age=600"))
            .await
            .json()["price"]
            .clone()
    };

    assert_eq!(
        (price("NEAR").await, price("FAR").await),
        (json!(7.5), json!(101))
    );
}

#[tokio::test]
async fn a_list_keeps_the_order_asked_and_tells_each_symbol_s_own_problem() {
    let api = Api::start().await;
    api.store(&[polled_ago("MSFT", 1)]).await;

    let answered = api
        .get("/prices/latest?symbols=NOPE,IBM,MSFT,IDLE,AAPL&max_age=600")
        .await;
    assert_eq!(answered.status, 200);
    assert_eq!(
        answered.each("symbol"),
        ["NOPE", "IBM", "MSFT", "IDLE", "AAPL"]
    );

    let problems: Vec<Value> = answered
        .each("problem")
        .iter()
        .map(|problem| problem["status"].clone())
        .collect();
    assert_eq!(
        problems,
        [
            json!(404),
            Value::Null,
            Value::Null,
            json!(502),
            Value::Null
        ]
    );

    assert_eq!(answered.each("price")[2], json!(7.5));

    // The two requests are sent at the same time.
    let mut asked = api.quoter.asked();
    asked.sort_unstable();
    assert_eq!(
        asked,
        [vec!["IDLE", "AAPL"], vec!["NOPE", "IBM"]],
        "only what is not fresh"
    );

    assert_eq!(api.log.events().len(), 2);
    assert_eq!(answered.json().get("next_cursor"), None);
}

/// Each error of a whole request, with its status and `Retry-After`.
fn troubles() -> [(ProviderError, u16, Option<&'static str>); 7] {
    let provider = || "quoter".parse().expect("a name");
    let reason = || "as told".to_owned();
    let refused = |refusal| ProviderError::NotAllowed {
        provider: provider(),
        refusal,
    };
    [
        (
            ProviderError::Unavailable {
                provider: provider(),
                reason: reason(),
            },
            503,
            Some("5"),
        ),
        (
            ProviderError::Malformed {
                provider: provider(),
                reason: reason(),
            },
            503,
            Some("5"),
        ),
        (
            ProviderError::TimedOut {
                provider: provider(),
            },
            503,
            Some("5"),
        ),
        (
            ProviderError::RateLimited {
                provider: provider(),
                retry_after: Some(Duration::from_millis(6_100)),
                scope: None,
            },
            503,
            Some("7"),
        ),
        (
            ProviderError::RateLimited {
                provider: provider(),
                retry_after: None,
                scope: Some(LimitScope::Minute),
            },
            503,
            Some("60"),
        ),
        (refused(Refusal::KeyRefused), 503, Some("5")),
        (refused(Refusal::Plan), 502, None),
    ]
}

#[tokio::test]
async fn a_provider_s_trouble_has_its_own_status_and_nothing_is_published() {
    let api = Api::start().await;

    let unknown = api.get("/prices/latest?symbol=NOPE").await;
    assert_eq!(unknown.status, 404);
    assert_eq!(
        unknown.json()["detail"],
        "quoter does not know the symbol NOPE"
    );

    for (error, status, retry_after) in troubles() {
        let name = error.to_string();
        api.quoter.will_fail(error);

        let answered = api.get("/prices/latest?symbol=AAPL").await;
        assert_eq!(
            (answered.status, answered.retry_after.as_deref()),
            (status, retry_after),
            "{name}"
        );
        assert_eq!(answered.json()["detail"], name);
        api.forget_failures().await;
    }

    assert!(api.log.events().is_empty());
    assert_eq!(
        api.get("/prices/latest?symbol=AAPL").await.status,
        200,
        "the service continues"
    );
}

/// Of this time, two seconds remain for the provider's answers; the rest is reserved for storing
/// and publishing.
const SHORT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_symbol_that_is_not_answered_in_the_request_s_time_costs_its_neighbours_nothing() {
    let pool = e2e::postgres::database().await.unwrap();
    let api = Api::with_asking_time(pool, SHORT).await;
    api.quoter.will_be_silent_about("SLOW");

    let answered = api.get("/prices/latest?symbols=SLOW,WAITS,A,B,C,D").await;
    assert_eq!(answered.status, 200, "{}", answered.text);

    let prices = answered.each("price");
    assert!(prices[2..].iter().all(Value::is_number), "{prices:?}");
    assert_eq!(api.log.events().len(), 4, "what was answered is published");

    for problem in &answered.each("problem")[..2] {
        assert_eq!(
            (&problem["status"], &problem["type"]),
            (&json!(503), &json!("/docs#provider-timeout"))
        );
    }
}

#[tokio::test]
async fn a_request_that_is_never_answered_keeps_no_symbol_of_a_long_list_from_being_asked_for() {
    let pool = e2e::postgres::database().await.unwrap();
    let api = Api::with_asking_time(pool, SHORT).await;
    api.quoter.will_be_silent_about("SLOW");

    let symbols: Vec<String> = (0..18).map(|number| format!("S{number}")).collect();
    let path = format!("/prices/latest?symbols=SLOW,WAITS,{}", symbols.join(","));
    let answered = tokio::time::timeout(SHORT, api.get(&path))
        .await
        .expect("an answer in time");

    let (prices, problems) = (answered.each("price"), answered.each("problem"));
    assert!(prices[2..].iter().all(Value::is_number), "{prices:?}");
    assert_eq!(api.log.events().len(), 18, "what was answered is published");

    for problem in &problems[..2] {
        assert_eq!(
            (&problem["status"], &problem["type"]),
            (&json!(503), &json!("/docs#provider-timeout"))
        );
    }
}

#[tokio::test]
async fn what_a_slow_provider_answered_when_the_request_s_time_is_up_is_answered_and_the_rest_told()
{
    // Four requests run at a time and have four seconds, so the second four are cut off.
    let pool = e2e::postgres::database().await.unwrap();
    let time = Duration::from_secs(12);
    let api = Api::with_asking_time(pool, time).await;
    api.quoter.will_take(Duration::from_millis(2_500));

    let symbols: Vec<String> = (0..16).map(|number| format!("S{number}")).collect();
    let path = format!("/prices/latest?symbols={}", symbols.join(","));
    let answered = tokio::time::timeout(time, api.get(&path))
        .await
        .expect("an answer in time");

    let (prices, problems) = (answered.each("price"), answered.each("problem"));
    assert!(prices[..8].iter().all(Value::is_number), "{prices:?}");
    assert_eq!(api.log.events().len(), 8);

    for problem in &problems[8..] {
        assert_eq!(problem["type"], "/docs#provider-timeout", "{problem}");
    }
}

#[tokio::test]
async fn a_list_of_which_nothing_is_answered_ends_within_the_request_s_time() {
    let pool = e2e::postgres::database().await.unwrap();
    let api = Api::with_asking_time(pool, SHORT).await;

    let symbols: Vec<String> = (0..100).map(|number| format!("S{number}")).collect();
    for symbol in &symbols {
        api.quoter.will_be_silent_about(symbol);
    }

    let path = format!("/prices/latest?symbols={}", symbols.join(","));
    let answered = tokio::time::timeout(SHORT, api.get(&path))
        .await
        .expect("an answer in time");

    let problems = answered.each("problem");
    assert_eq!((answered.status, problems.len()), (200, 100));

    for problem in problems {
        assert_eq!(problem["type"], "/docs#provider-timeout", "{problem}");
    }

    let asked = api.quoter.asked();
    assert!(
        !asked.is_empty() && asked.len() <= 4,
        "no request is begun once the time is up: {}",
        asked.len()
    );
}
