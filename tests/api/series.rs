//! Which series average and history choose, and what they report about it.

use serde_json::{Value, json};
use shared::price_event::PriceEvent;

use crate::fixture::{Api, at, event, polled};

/// The providers that average and history answer for.
async fn meant(api: &Api, query: &str) -> [Value; 2] {
    let average = api.get(&format!("/prices/average?{query}")).await.json();
    let history = api.get(&format!("/prices/history?{query}")).await.json();

    [average["provider"].clone(), history["provider"].clone()]
}

#[tokio::test]
async fn without_a_provider_the_default_one_s_series_is_meant_though_another_was_polled_later() {
    let api = Api::start().await;
    api.store(&[
        event("AAPL", "quoter", "1", 0),
        event("AAPL", "spare", "2", 500),
    ])
    .await;

    assert_eq!(meant(&api, "symbol=AAPL").await, ["quoter", "quoter"]);
    assert_eq!(
        meant(&api, "symbol=aapl&provider=SPARE").await,
        ["spare", "spare"]
    );
}

#[tokio::test]
async fn where_the_default_provider_has_no_series_the_one_polled_last_is_meant() {
    let api = Api::start().await;

    // The newest quote is not the one that was polled last.
    api.store(&[
        polled("AAPL", "early", "1", at(300), at(310)),
        polled("AAPL", "spare", "2", at(0), at(320)),
        polled("AAPL", "other", "3", at(200), at(315)),
        event("IBM", "quoter", "4", 0),
    ])
    .await;

    assert_eq!(meant(&api, "symbol=AAPL").await, ["spare", "spare"]);

    api.store(&[polled("AAPL", "early", "1", at(300), at(330))])
        .await;
    assert_eq!(
        meant(&api, "symbol=AAPL").await,
        ["early", "early"],
        "the same quote was polled again"
    );
}

#[tokio::test]
async fn yfinance_is_another_name_of_yahoo() {
    let api = Api::start().await;
    api.store(&[event("AAPL", "yahoo", "1", 0)]).await;

    assert_eq!(
        meant(&api, "symbol=AAPL&provider=yfinance").await,
        ["yahoo", "yahoo"]
    );
}

#[tokio::test]
async fn a_series_that_is_not_there_is_a_404_and_a_provider_nobody_knows_a_400_that_lists_the_known()
 {
    let api = Api::start().await;
    api.store(&[event("AAPL", "foreign", "1", 0)]).await;

    sqlx::query("insert into series (symbol, provider) values ('IBM', 'pointless')")
        .execute(&api.pool)
        .await
        .unwrap();

    for path in [
        "/prices/average?",
        "/prices/history?",
        "/prices/candles?interval=1h&",
    ] {
        for (query, status, words) in [
            ("symbol=IBM", 404, "no price of IBM is stored"),
            (
                "symbol=AAPL&provider=quoter",
                404,
                "no price of AAPL from quoter is stored",
            ),
            (
                "symbol=IBM&provider=foreign",
                404,
                "no price of IBM from foreign is stored",
            ),
            ("symbol=AAPL&provider=nobody", 400, "quoter, spare"),
            ("symbol=IBM&provider=pointless", 400, "quoter, spare"),
        ] {
            let answered = api.get(&format!("{path}{query}")).await;
            assert_eq!(answered.status, status, "{path}{query}");
            assert!(
                answered.json()["detail"].as_str().unwrap().contains(words),
                "{}",
                answered.text
            );
        }

        let foreign = api
            .get(&format!("{path}symbol=AAPL&provider=foreign"))
            .await;
        assert_eq!(
            foreign.status, 200,
            "a producer that we cannot ask is known once it has a series"
        );
    }
}

#[tokio::test]
async fn every_answer_tells_the_unit_and_no_average_mixes_two() {
    let api = Api::start().await;

    let quotes = [
        ("2005", Some("GBp")),
        ("2006", Some("GBp")),
        ("20.07", Some("GBP")),
        ("20.08", Some("GBP")),
        ("7", None),
    ];

    for ((price, unit), second) in quotes.into_iter().zip(0..) {
        let currency = unit.map(|unit| unit.parse().unwrap());
        api.store(&[PriceEvent {
            currency,
            ..event("FLIP.L", "quoter", price, second)
        }])
        .await;

        let average = api.get("/prices/average?symbol=FLIP.L").await.json();
        let series = api.get("/symbols").await.json()["items"][0].clone();

        assert_eq!(
            (&average["currency"], &series["currency"]),
            (&json!(unit), &json!(unit))
        );
        assert_eq!(
            average["points"],
            [1, 2, 1, 2, 1][usize::try_from(second).unwrap()]
        );
    }

    let history = api.get("/prices/history?symbol=FLIP.L").await;
    let averages = [
        json!(7),
        json!(20.075),
        json!(20.07),
        json!(2005.5),
        json!(2005),
    ];
    assert_eq!(history.each("moving_average"), averages);

    let units = [
        json!(null),
        json!("GBP"),
        json!("GBP"),
        json!("GBp"),
        json!("GBp"),
    ];
    assert_eq!(history.each("currency"), units);
}

#[tokio::test]
async fn an_average_of_fewer_than_five_points_says_so() {
    let api = Api::start().await;

    let mut seen = Vec::new();
    for second in 0..7 {
        api.store(&[event("AAPL", "quoter", &(10 + second).to_string(), second)])
            .await;

        let average = api.get("/prices/average?symbol=AAPL").await.json();
        assert_eq!(average["window"], 5);

        seen.push((
            average["points"].as_u64().unwrap(),
            average["moving_average"].clone(),
        ));
    }

    let expected = [
        (1, json!(10)),
        (2, json!(10.5)),
        (3, json!(11)),
        (4, json!(11.5)),
        (5, json!(12)),
    ];
    assert_eq!(seen[..5], expected);
    assert_eq!(seen[5..], [(5, json!(13)), (5, json!(14))]);
}
