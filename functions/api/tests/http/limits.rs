//! The limits in the contract are those that requests meet: the greatest value passes, and one more
//! is a fault. A request that passes fails later in these tests, because there is no Postgres.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::contract::contract;
use crate::fixture::Fixture;

/// A parameter of `GET path`.
fn parameter<'a>(contract: &'a Value, path: &str, name: &str) -> &'a Value {
    let parameters = contract["paths"][path]["get"]["parameters"].as_array();
    let mut parameters = parameters.into_iter().flatten();
    let found = parameters.find(|parameter| parameter["name"] == name);
    found.unwrap_or_else(|| panic!("{path} has no {name}"))
}

/// A limit in a schema, or in the one that is an alternative to null.
fn limit(schema: &Value, keyword: &str) -> u64 {
    let alternatives = schema["oneOf"].as_array().into_iter().flatten();
    let mut schemas = std::iter::once(schema).chain(alternatives);
    schemas
        .find_map(|schema| schema[keyword].as_u64())
        .unwrap_or_else(|| panic!("{schema} has no {keyword}"))
}

/// So many different symbols.
fn symbols(count: u64) -> Vec<String> {
    (0..count).map(|number| format!("S{number}")).collect()
}

#[tokio::test]
async fn a_number_in_a_query_passes_from_the_least_to_the_greatest_documented_one() {
    let api = Fixture::new();
    let contract = contract(&api).await;

    for (path, name, others) in [
        ("/prices/latest", "max_age", "&symbol=A"),
        ("/prices/average", "window", "&symbol=A"),
        ("/prices/history", "limit", "&symbol=A"),
        ("/prices/candles", "limit", "&symbol=A&interval=1h"),
        ("/symbols", "limit", ""),
        ("/prices/poll", "limit", ""),
    ] {
        let schema = &parameter(&contract, path, name)["schema"];
        let (least, most) = (limit(schema, "minimum"), limit(schema, "maximum"));
        let ask = async |value: u64| api.get(&format!("{path}?{name}={value}{others}")).await;

        for passes in [least, most] {
            let answered = ask(passes).await;
            assert_ne!(
                answered.status,
                StatusCode::UNPROCESSABLE_ENTITY,
                "{path} {name}={passes}"
            );
        }
        for fails in [least.checked_sub(1), Some(most + 1)].into_iter().flatten() {
            let answered = ask(fails).await;
            assert_eq!(
                answered.places(),
                [format!("query.{name}")],
                "{path} {name}={fails}"
            );
        }
    }
}

#[tokio::test]
async fn a_query_may_list_as_many_symbols_as_documented() {
    let api = Fixture::new();
    let contract = contract(&api).await;
    let list = parameter(&contract, "/prices/latest", "symbols");
    assert_eq!(list["explode"], false, "one parameter, with commas");

    let most = limit(&list["schema"], "maxItems");
    let ask = async |count| {
        let list = symbols(count).join(",");
        api.get(&format!("/prices/latest?symbols={list}")).await
    };

    assert_ne!(ask(most).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(ask(most + 1).await.places(), ["query.symbols"]);
}

#[tokio::test]
async fn a_polling_job_may_have_the_documented_symbols_and_interval() {
    let api = Fixture::new();
    let contract = contract(&api).await;
    let job = &contract["components"]["schemas"]["PollRequest"]["properties"];
    let poll = async |body: Value| api.poll(&body.to_string()).await;

    let most = limit(&job["symbols"], "maxItems");
    let interval = limit(&job["interval"], "maximum");
    let passes = poll(json!({"symbols": symbols(most), "interval": interval})).await;
    assert_ne!(passes.status, StatusCode::UNPROCESSABLE_ENTITY);

    let fails = poll(json!({"symbols": symbols(most + 1), "interval": interval + 1})).await;
    let mut places = fails.places();
    places.sort();
    assert_eq!(places, ["body.interval", "body.symbols"]);
}

/// Only the last name may be too long: the list as a whole has the greatest length with five names
/// of the greatest length, which are unknown here.
#[tokio::test]
async fn a_list_of_providers_may_have_the_documented_length() {
    let api = Fixture::new();
    let contract = contract(&api).await;
    let job = &contract["components"]["schemas"]["PollRequest"]["properties"];
    let most = limit(&job["provider"], "maxLength");

    let longest = ["a", "b", "c", "d", "e"].map(|letter| letter.repeat(32));
    let longest = longest.join(",");
    assert_eq!(longest.len() as u64, most);

    let body = |provider: &str| json!({"symbols": ["A"], "provider": provider}).to_string();
    let passes = api.poll(&body(&longest)).await;
    assert_eq!(passes.status, StatusCode::BAD_REQUEST, "they are unknown");
    let fails = api.poll(&body(&format!("{longest}e"))).await;
    assert_eq!(fails.places(), ["body.provider"]);
}

#[tokio::test]
async fn an_average_covers_at_most_ten_of_the_longest_documented_windows() {
    let contract = contract(&Fixture::new()).await;
    let average = &contract["components"]["schemas"]["Average"]["properties"];
    let window = &parameter(&contract, "/prices/average", "window")["schema"];

    assert_eq!(limit(&average["points"], "minimum"), 1);
    assert_eq!(
        limit(&average["points"], "maximum"),
        10 * limit(window, "maximum")
    );
}
