//! Prices and averages keep every digit to the last byte of the answer.

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
        .map(|(number, price)| polled("WIDE", "quoter", price, now - TimeDelta::seconds(600 - number), now))
        .collect();
    api.store(&events).await;
    let price = "\"price\":99999999999.999999999999998,";
    let average = "\"moving_average\":99999999999.99999999999999875,";
    for (path, texts) in [
        ("/prices/latest?symbol=WIDE&max_age=600", vec![price]),
        ("/prices/latest?symbols=WIDE&max_age=600", vec![price]),
        ("/prices/average?symbol=WIDE", vec![average]),
        ("/prices/history?symbol=WIDE", vec![price, average, "\"price\":99999999999.999999999999999,"]),
        ("/symbols", vec![price, average]),
    ] {
        let answered = api.get(path).await;
        for text in texts {
            assert!(answered.text.contains(text), "{path}: {text} in {}", answered.text);
        }
    }
}

#[tokio::test]
async fn numbers_have_no_exponents_and_no_zeros_at_their_end() {
    let api = Api::start().await;
    for (number, price) in (0..).zip(["8.12e-6", "150.2500", "1e10", "0.000000000000001"]) {
        let symbol = format!("S{number}");
        api.store(&[polled(&symbol, "quoter", price, at(0), at(1))]).await;
        let history = api.get(&format!("/prices/history?symbol={symbol}")).await.text;
        let plain = ["0.00000812", "150.25", "10000000000", "0.000000000000001"][number];
        assert!(history.contains(&format!("\"price\":{plain},\"moving_average\":{plain},")), "{history}");
    }
}
