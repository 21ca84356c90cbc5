//! Symbols that differ only in case are two series. Each is found by its own spelling; a spelling
//! without a series finds the one in upper case.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use crate::fixture::{Api, at, event, polled};

/// Two instruments of a foreign producer, and one of our own.
async fn stored() -> Api {
    let api = Api::start().await;
    api.store(&[
        event("TPC", "feed", "10", 0),
        event("TPC", "feed", "11", 5),
        event("TpC", "feed", "90", 0),
        event("TpC", "feed", "91", 5),
        event("AAPL", "quoter", "1", 0),
    ])
    .await;
    api
}

#[tokio::test]
async fn average_and_history_find_the_spelling_given_and_else_upper_case() {
    let api = stored().await;

    for (asked, found, average) in [
        ("TPC", "TPC", "10.5"),
        ("TpC", "TpC", "90.5"),
        ("tpc", "TPC", "10.5"),
        ("aapl", "AAPL", "1"),
    ] {
        let answer = api
            .get(&format!("/prices/average?symbol={asked}"))
            .await
            .json();
        assert_eq!(
            (&answer["symbol"], answer["moving_average"].to_string()),
            (&json!(found), average.to_owned())
        );

        let history = api
            .get(&format!("/prices/history?symbol={asked}"))
            .await
            .json();
        assert_eq!(history["symbol"], json!(found), "{asked}");
    }

    let nobody = api.get("/prices/average?symbol=nope").await;
    assert_eq!(
        (nobody.status, &nobody.json()["detail"]),
        (404, &json!("no price of nope is stored"))
    );
}

#[tokio::test]
async fn pages_stay_with_the_series_of_their_spelling() {
    let api = stored().await;

    for (asked, prices) in [("TpC", [91, 90]), ("TPC", [11, 10]), ("tpc", [11, 10])] {
        let first = api
            .get(&format!("/prices/history?symbol={asked}&limit=1"))
            .await;

        let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
        let second = api
            .get(&format!(
                "/prices/history?symbol={asked}&limit=1&cursor={cursor}"
            ))
            .await;

        let found = [first.each("price"), second.each("price")].concat();
        assert_eq!(found, prices.map(Value::from), "{asked}");
    }

    let mut listed = Vec::new();
    let mut cursor = String::new();

    loop {
        let page = api.get(&format!("/symbols?limit=1{cursor}")).await;
        listed.extend(page.each("symbol"));

        let Some(next) = page.json()["next_cursor"].as_str().map(str::to_owned) else {
            break;
        };
        cursor = format!("&cursor={next}");
    }

    listed.sort_by_key(ToString::to_string);
    assert_eq!(listed, ["AAPL", "TPC", "TpC"]);
}

#[tokio::test]
async fn the_latest_quote_is_that_of_the_spelling_if_it_is_stored_and_our_providers_are_asked_in_upper_case()
 {
    let api = Api::start().await;

    let now = Utc::now();
    let fresh =
        |symbol, price| polled(symbol, "quoter", price, at(0), now - TimeDelta::seconds(30));
    api.store(&[fresh("TpC", "90"), fresh("AAPL", "5")]).await;

    let list = api
        .get("/prices/latest?symbols=TpC,TPC,tpc,aapl&max_age=600")
        .await;
    assert_eq!(list.each("symbol"), ["TpC", "TPC", "TPC", "AAPL"]);
    assert_eq!(
        list.each("price"),
        [json!(90), json!(101), json!(101), json!(5)]
    );
    assert_eq!(api.quoter.asked(), [["TPC"]], "once for both spellings");
    assert_eq!(
        api.log
            .events()
            .iter()
            .map(|event| event.symbol.as_str())
            .collect::<Vec<_>>(),
        ["TPC"]
    );

    let again = api.get("/prices/latest?symbol=TpC&max_age=0").await.json();
    assert_eq!(
        (&again["symbol"], &again["price"]),
        (&json!("TPC"), &json!(102)),
        "what is stored is too old"
    );

    let twice = api.get("/prices/latest?symbols=TpC,TpC").await;
    assert_eq!(twice.status, 422);
}
