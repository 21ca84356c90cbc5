//! Every query parameter of every GET, bad in every way: the answer is a 422 that names only it.

use axum::http::StatusCode;
use serde_json::Value;

use crate::contract::contract;
use crate::fixture::Fixture;

/// A query parameter of a GET, and what the request needs besides it.
struct Parameter {
    path: String,
    name: String,
    others: &'static str,
}

/// All query parameters that the contract lists.
async fn parameters(api: &Fixture) -> Vec<Parameter> {
    let contract = contract(api).await;
    let paths = contract["paths"].as_object().expect("paths");

    let mut found = Vec::new();
    for (path, operations) in paths {
        let parameters = operations["get"]["parameters"].as_array();
        let in_query = |parameter: &&Value| parameter["in"] == "query";

        for parameter in parameters.into_iter().flatten().filter(in_query) {
            let name = parameter["name"].as_str().expect("a name").to_owned();
            let needs_symbol = ["latest", "average", "history", "candles"]
                .iter()
                .any(|route| path.ends_with(route));
            let is_symbol = name == "symbol" || name == "symbols";
            let others = match (path.ends_with("candles"), name.as_str()) {
                (true, "symbol") => "&interval=1h",
                (true, "interval") => "&symbol=AAPL",
                (true, _) => "&symbol=AAPL&interval=1h",
                _ if is_symbol => "",
                _ if path == "/prices/changes" => "&symbols=AAPL",
                _ if needs_symbol => "&symbol=AAPL",
                _ => "",
            };
            let path = path.replace("{job_id}", "6f9619ff-8b86-4d01-b42d-00cf4fc964ff");
            found.push(Parameter { path, name, others });
        }
    }

    assert!(found.len() > 15, "the contract lists {}", found.len());
    found
}

/// Whether a fault is of the parameter itself or of an item in it.
fn is_of(place: &str, name: &str) -> bool {
    place
        .strip_prefix("query.")
        .and_then(|place| place.strip_prefix(name))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
}

#[tokio::test]
async fn each_parameter_bad_in_each_way_is_a_422_that_names_it_alone() {
    let api = Fixture::new();
    let long = "9".repeat(5_000);
    let bad = [
        "",
        "%20",
        "%00",
        "%0A",
        "%FF",
        "%C3%28",
        "%ED%A0%80",
        "%",
        "%4",
        "%zz",
        "%F0%9F%92%B6",
        &long,
    ];

    for Parameter { path, name, others } in parameters(&api).await {
        let mut queries: Vec<String> = bad.iter().map(|bad| format!("{name}={bad}")).collect();
        queries.push(name.clone());
        queries.push(format!("{name}=%FF&{name}=1"));

        for query in queries {
            let answered = api.get(&format!("{path}?{query}{others}")).await;
            let shown: String = format!("{path}?{query}").chars().take(90).collect();
            assert_eq!(answered.status, StatusCode::UNPROCESSABLE_ENTITY, "{shown}");

            let places = answered.places();
            assert!(!places.is_empty(), "{shown}");
            for place in &places {
                assert!(is_of(place, &name), "{shown}: {places:?}");
            }
        }
    }
}

#[tokio::test]
async fn each_parameter_given_twice_is_a_422_that_says_so() {
    let api = Fixture::new();
    for Parameter { path, name, others } in parameters(&api).await {
        let answered = api.get(&format!("{path}?{name}=1&{name}=1{others}")).await;

        assert_eq!(
            answered.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{path} {name}"
        );
        let detail = answered.json()["detail"].to_string();
        assert!(
            detail.contains(&format!("query.{name} is given twice")),
            "{path}: {detail}"
        );
    }
}

#[tokio::test]
async fn sql_and_script_are_text_like_any_other() {
    let api = Fixture::new();
    for Parameter { path, name, others } in parameters(&api).await {
        for text in [
            "%3Cscript%3Ealert(1)%3C/script%3E",
            "'%3Bdrop/**/table/**/series--",
            "$(reboot)",
            "..%2F..%2Fetc",
            "%24%7Bjndi%3Aldap%7D",
        ] {
            let answered = api.get(&format!("{path}?{name}={text}{others}")).await;
            // A symbol may be such a text; then Postgres would be asked, which is not there.
            let status = answered.status;
            let is_asked = status == StatusCode::SERVICE_UNAVAILABLE;
            assert!(
                status.is_client_error() || is_asked,
                "{path} {name}={text}: {status}"
            );
            assert_eq!(answered.header("content-type"), "application/problem+json");
        }
    }
}
