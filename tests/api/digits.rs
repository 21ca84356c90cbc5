//! Prices and averages keep every digit in the answer.

use chrono::{TimeDelta, Utc};

use crate::fixture::{Api, at, polled};

const WIDEST: &str = "99999999999.999999999999999";

#[tokio::test]
async fn the_widest_price_and_its_average_are_answered_with_all_their_digits() {
    let api = Api::start().await;

    let now = Utc::now();
    let prices = [WIDEST, WIDEST, WIDEST, "99999999999.999999999999998"];
    let events: Vec<_> = (1..)
        .zip(prices)
        .map(|(number, price)| {
            polled(
                "WIDE",
                "quoter",
                price,
                now - TimeDelta::seconds(600 - number),
                now,
            )
        })
        .collect();
    api.store(&events).await;

    let price = "\"price\":99999999999.999999999999998,";
    let average = "\"moving_average\":99999999999.99999999999999875,";

    for (path, texts) in [
        ("/prices/latest?symbol=WIDE&max_age=600", vec![price]),
        ("/prices/latest?symbols=WIDE&max_age=600", vec![price]),
        ("/prices/average?symbol=WIDE", vec![average]),
        (
            "/prices/history?symbol=WIDE",
            vec![price, average, "\"price\":99999999999.999999999999999,"],
        ),
        ("/symbols", vec![price, average]),
    ] {
        let answered = api.get(path).await;

        for text in texts {
            assert!(
                answered.text.contains(text),
                "{path}: {text} in {}",
                answered.text
            );
        }
    }
}

#[tokio::test]
async fn doubles_and_the_mean_of_large_and_precise_prices_are_answered_with_all_their_digits() {
    let api = Api::start().await;
    let now = Utc::now();
    let events: Vec<_> = (1..)
        .zip([
            "1.2100000000000002",
            "1.2345678E-9",
            WIDEST,
            "0.00000000000000000001",
        ])
        .map(|(number, price)| {
            polled(
                "MIXED",
                "quoter",
                price,
                now - TimeDelta::seconds(600 - number),
                now,
            )
        })
        .collect();

    api.store(&events).await;
    let history = api.get("/prices/history?symbol=MIXED").await.text;

    for text in [
        "\"price\":0.00000000000000000001,\"currency\":\"USD\",\"moving_average\":25000000000.3025000003086417500025,\"points\":4",
        "\"price\":99999999999.999999999999999,\"currency\":\"USD\",\"moving_average\":33333333333.736666667078189,\"points\":3",
        "\"price\":0.0000000012345678,\"currency\":\"USD\",\"moving_average\":0.605000000617284,\"points\":2",
        "\"price\":1.2100000000000002,\"currency\":\"USD\",\"moving_average\":1.2100000000000002,\"points\":1",
    ] {
        assert!(history.contains(text), "{text} in {history}");
    }
}

#[tokio::test]
async fn numbers_have_no_exponents_and_no_zeros_at_their_end() {
    let api = Api::start().await;
    for (number, price) in (0..).zip(["8.12e-6", "150.2500", "1e10", "0.000000000000001"]) {
        let symbol = format!("S{number}");
        api.store(&[polled(&symbol, "quoter", price, at(0), at(1))])
            .await;

        let history = api
            .get(&format!("/prices/history?symbol={symbol}"))
            .await
            .text;

        let plain = ["0.00000812", "150.25", "10000000000", "0.000000000000001"][number];
        let text = format!("\"price\":{plain},\"currency\":\"USD\",\"moving_average\":{plain},");
        assert!(history.contains(&text), "{history}");
    }
}
