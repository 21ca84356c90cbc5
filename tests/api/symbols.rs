//! `GET /symbols`: every stored series.

use serde_json::Value;

use crate::fixture::{Api, event};

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
                    \"timestamp\":\"2023-11-14T22:13:25Z\",\"price\":2.5,\"currency\":\"USD\",\"moving_average\":2,\"points\":2}],\
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
