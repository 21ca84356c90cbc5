//! `GET /symbols`: every stored series.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::repository::ingest::count_points;
use tokio::time::Instant;

use crate::fixture::{Api, at, event, polled};

#[tokio::test]
async fn every_series_is_listed_with_its_newest_point() {
    let api = Api::start().await;
    api.store(&[
        event("AAPL", "quoter", "1.5", 0),
        event("AAPL", "quoter", "2.5", 5),
    ])
    .await;

    let answered = api.get("/symbols").await;

    let expected = "{\"items\":[{\"symbol\":\"AAPL\",\"provider\":\"quoter\",\
                    \"timestamp\":\"2023-11-14T22:13:25Z\",\"price\":2.5,\"currency\":\"USD\",\"moving_average\":2,\"points\":2,\
                    \"point_count\":2,\"first_timestamp\":\"2023-11-14T22:13:20Z\"}],\
                    \"next_cursor\":null}";

    assert_eq!((answered.status, answered.text.as_str()), (200, expected));
}

#[tokio::test]
async fn without_any_series_the_list_is_empty() {
    let answered = Api::start().await.get("/symbols").await;
    assert_eq!(answered.text, r#"{"items":[],"next_cursor":null}"#);
}

#[tokio::test]
async fn pages_have_every_series_once_also_where_they_part_the_providers_of_a_symbol() {
    let api = Api::start().await;

    let series = [
        ("BRK-B", "a"),
        ("BRKA", "a"),
        ("AAPL", "c"),
        ("AAPL", "a"),
        ("AAPL", "b"),
        ("^GSPC", "a"),
    ];

    let events: Vec<_> = series
        .iter()
        .map(|(symbol, provider)| event(symbol, provider, "1", 0))
        .collect();
    api.store(&events).await;

    let mut expected = series.map(|(symbol, provider)| format!("{symbol} {provider}"));
    expected.sort();

    for limit in 1..=7 {
        let mut seen = Vec::new();
        let mut cursor = String::new();

        for page in 1.. {
            let answered = api.get(&format!("/symbols?limit={limit}{cursor}")).await;
            let (symbols, providers) = (answered.each("symbol"), answered.each("provider"));
            assert!(symbols.len() <= limit);

            let name = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            seen.extend(
                symbols
                    .iter()
                    .zip(&providers)
                    .map(|(symbol, of)| format!("{} {}", name(symbol), name(of))),
            );

            match answered.json()["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => {
                    assert_eq!(
                        page,
                        series.len().div_ceil(limit),
                        "the last page has no cursor"
                    );
                    break;
                }
            }
        }

        let aapl: Vec<_> = seen
            .iter()
            .filter(|name| name.starts_with("AAPL"))
            .collect();
        assert_eq!(
            aapl,
            ["AAPL a", "AAPL b", "AAPL c"],
            "by provider within a symbol"
        );

        seen.sort();
        assert_eq!(seen, expected, "limit {limit}");
    }
}

/// The symbols and providers that a list contains.
async fn listed(api: &Api, query: &str) -> Vec<String> {
    let answered = api.get(&format!("/symbols?{query}")).await;
    assert_eq!(answered.status, 200, "{query}: {}", answered.text);
    let (symbols, providers) = (answered.each("symbol"), answered.each("provider"));

    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    symbols
        .iter()
        .zip(&providers)
        .map(|(symbol, provider)| format!("{} {}", text(symbol), text(provider)))
        .collect()
}

#[tokio::test]
async fn prefix_and_provider_choose_series_on_every_page() {
    let api = Api::start().await;
    api.store(&[
        event("AAPL", "quoter", "1", 0),
        event("AAPL", "elsewhere", "1", 0),
        event("AMZN", "quoter", "1", 0),
        event("aa%_", "elsewhere", "1", 0),
        event("MSFT", "quoter", "1", 0),
    ])
    .await;

    for (query, expected) in [
        ("prefix=AA", vec!["AAPL elsewhere", "AAPL quoter"]),
        (
            "prefix=A&provider=quoter",
            vec!["AAPL quoter", "AMZN quoter"],
        ),
        (
            "prefix=aa",
            vec!["AAPL elsewhere", "AAPL quoter", "aa%_ elsewhere"],
        ),
        ("prefix=%25", vec![]),
        ("prefix=aa%25", vec!["aa%_ elsewhere"]),
        ("provider=spare", vec![]),
        ("provider=ELSEWHERE&prefix=AAPL", vec!["AAPL elsewhere"]),
        ("prefix='%20or", vec![]),
    ] {
        if query.contains("%20") {
            assert_eq!(api.get(&format!("/symbols?{query}")).await.status, 422);
            continue;
        }
        let mut found = listed(&api, query).await;
        found.sort();
        assert_eq!(found, expected, "{query}");
    }

    let first = api.get("/symbols?prefix=A&provider=quoter&limit=1").await;
    let link = first.header("link");
    let next = link
        .strip_prefix('<')
        .and_then(|link| link.split_once('>'))
        .expect("a link")
        .0;
    assert_eq!(api.get(next).await.each("symbol"), ["AMZN"]);

    let unknown = api.get("/symbols?provider=bloomberg").await;
    assert_eq!(unknown.status, 400);
    assert_eq!(unknown.json()["errors"][0]["location"], "query.provider");
}

#[tokio::test]
async fn points_are_counted_once_however_late_or_often_they_come() {
    let api = Api::start().await;
    let counted = async || {
        let answered = api.get("/symbols").await;
        (
            answered.each("point_count"),
            answered.each("first_timestamp"),
        )
    };

    let all = [
        event("AAPL", "quoter", "1", 10),
        event("AAPL", "quoter", "2", 20),
    ];
    api.store(&all).await;
    api.store(&all).await;
    assert_eq!(
        counted().await,
        (vec![json!(2)], vec![json!("2023-11-14T22:13:30Z")])
    );

    // Late, revised, and one that is both new and long ago.
    api.store(&[
        polled("AAPL", "quoter", "9", at(10), at(90)),
        event("AAPL", "quoter", "3", 15),
        event("AAPL", "quoter", "4", 1),
    ])
    .await;
    assert_eq!(
        counted().await,
        (vec![json!(4)], vec![json!("2023-11-14T22:13:21Z")])
    );
}

#[tokio::test]
async fn series_that_are_not_counted_say_so_until_upkeep_has_counted_them() {
    let api = Api::start().await;
    api.store(&[
        event("AAPL", "quoter", "1", 10),
        event("AAPL", "quoter", "2", 20),
    ])
    .await;
    sqlx::query("update series set point_count = null, first_at = null")
        .execute(&api.pool)
        .await
        .expect("an update");
    api.store(&[
        event("AAPL", "quoter", "3", 15),
        event("AAPL", "quoter", "3", 30),
    ])
    .await;

    let counted = async || {
        let answered = api.get("/symbols").await;
        (
            answered.each("point_count"),
            answered.each("first_timestamp"),
        )
    };
    assert_eq!(counted().await, (vec![Value::Null], vec![Value::Null]));

    // Functions of the version before may still be running, which do not count.
    let count = || count_points(&api.pool, Instant::now() + Duration::from_secs(30));
    assert_eq!(count().await.expect("a count"), 0);

    sqlx::query("update _sqlx_migrations set installed_on = installed_on - interval '2 hours'")
        .execute(&api.pool)
        .await
        .expect("an update");
    assert_eq!(count().await.expect("a count"), 1);
    assert_eq!(
        counted().await,
        (vec![json!(4)], vec![json!("2023-11-14T22:13:30Z")])
    );

    let later = at(40) + TimeDelta::seconds(1);
    api.store(&[polled("AAPL", "quoter", "5", at(40), later)])
        .await;
    assert_eq!(counted().await.0, [json!(5)], "and is counted on");
}
