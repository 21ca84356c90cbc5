//! `GET /prices/average` over windows that are computed when they are read.

use serde_json::{Value, json};
use shared::price_event::PriceEvent;

use crate::fixture::{Api, event};

/// Points with the prices 1 to `count`, a second apart.
fn points(count: i64) -> Vec<PriceEvent> {
    (1..=count)
        .map(|number| event("AAPL", "quoter", &number.to_string(), number))
        .collect()
}

async fn average(api: &Api, query: &str) -> Value {
    let answered = api
        .get(&format!("/prices/average?symbol=AAPL{query}"))
        .await;
    assert_eq!(answered.status, 200, "{}", answered.text);
    answered.json()
}

#[tokio::test]
async fn an_average_is_of_the_newest_points_of_its_window_and_states_both() {
    let api = Api::start().await;
    api.store(&points(250)).await;

    for (query, window, kind, points, value) in [
        ("", 5, "sma", 5, json!(248)),
        ("&window=5&kind=sma", 5, "sma", 5, json!(248)),
        ("&window=2", 2, "sma", 2, json!(249.5)),
        ("&window=3&kind=sma", 3, "sma", 3, json!(249)),
        ("&window=200", 200, "sma", 200, json!(150.5)),
        // On a straight line an exponential average stays (window − 1) / 2 behind.
        ("&kind=ema", 5, "ema", 50, json!(248)),
        ("&window=20&kind=ema", 20, "ema", 200, json!(240.5)),
        ("&window=200&kind=ema", 200, "ema", 250, json!(150.5)),
    ] {
        let average = average(&api, query).await;
        assert_eq!(average["window"], window, "{query}");
        assert_eq!(average["kind"], kind, "{query}");
        assert_eq!(average["points"], points, "{query}");
        assert_eq!(average["moving_average"], value, "{query}");
        assert_eq!(average["currency"], "USD");
        assert_eq!(average["timestamp"], "2023-11-14T22:17:30Z", "{query}");
    }
}

#[tokio::test]
async fn with_fewer_points_than_the_window_an_average_states_their_true_number() {
    let api = Api::start().await;
    api.store(&points(3)).await;

    for kind in ["sma", "ema"] {
        let average = average(&api, &format!("&window=20&kind={kind}")).await;
        assert_eq!(
            (&average["points"], &average["moving_average"]),
            (&json!(3), &json!(2))
        );
    }
}

#[tokio::test]
async fn no_average_mixes_units() {
    let api = Api::start().await;
    let in_pence = |event: PriceEvent| PriceEvent {
        currency: Some("GBp".parse().unwrap()),
        ..event
    };
    let old = points(20).into_iter().map(in_pence);
    let new = (21..=24).map(|second| event("AAPL", "quoter", "0.2", second));
    api.store(&old.chain(new).collect::<Vec<_>>()).await;

    for kind in ["sma", "ema"] {
        let average = average(&api, &format!("&window=10&kind={kind}")).await;
        assert_eq!(
            (&average["points"], &average["moving_average"]),
            (&json!(4), &json!(0.2)),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn an_average_follows_late_and_corrected_prices() {
    let api = Api::start().await;
    api.store(&points(10)).await;
    assert_eq!(average(&api, "&window=10").await["moving_average"], 5.5);

    // The price of second 4 was 14, as a later poll says.
    let corrected = PriceEvent {
        polled_at: crate::fixture::at(60),
        ..event("AAPL", "quoter", "14", 4)
    };
    api.store(&[corrected]).await;
    assert_eq!(average(&api, "&window=10").await["moving_average"], 6.5);
    assert_eq!(average(&api, "&window=6").await["moving_average"], 7.5);
}

#[tokio::test]
async fn every_digit_of_a_computed_average_arrives() {
    let api = Api::start().await;
    let (large, precise) = ("99999999999.999999999999999", "0.00000000000000000001");
    let prices = [large, precise].repeat(4);
    let events: Vec<PriceEvent> = (1_i64..)
        .zip(prices)
        .map(|(second, price)| event("AAPL", "quoter", price, second))
        .collect();
    api.store(&events).await;

    let answered = api.get("/prices/average?symbol=AAPL&window=8").await;
    let exact = "\"moving_average\":49999999999.999999999999999500005,";
    assert!(answered.text.contains(exact), "{}", answered.text);
}
