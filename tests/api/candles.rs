//! `GET /prices/candles`: candles of a series, newest first.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use shared::market::Timestamp;
use shared::price_event::PriceEvent;

use crate::fixture::{Answered, Api, event, polled};

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// A quote of AAPL, polled a second after its time.
fn quote(timestamp: &str, price: &str) -> PriceEvent {
    let timestamp = time(timestamp);
    polled(
        "AAPL",
        "quoter",
        price,
        timestamp,
        timestamp + TimeDelta::seconds(1),
    )
}

async fn candles(api: &Api, query: &str) -> Answered {
    let answered = api
        .get(&format!("/prices/candles?symbol=AAPL&{query}"))
        .await;
    assert_eq!(answered.status, 200, "{}", answered.text);
    answered
}

/// Start, open, high, low, close and number of points of each candle on all pages, page by page.
async fn pages(api: &Api, query: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();

    loop {
        let page = candles(api, &format!("{query}{cursor}")).await.json();
        let of = |item: &Value| {
            let field = |name: &str| item[name].to_string();
            let start = item["timestamp"].as_str().expect("a time").to_owned();
            let prices = ["open", "high", "low", "close", "points"].map(field);
            format!("{start} {}", prices.join(" "))
        };
        pages.push(
            page["items"]
                .as_array()
                .expect("a list")
                .iter()
                .map(of)
                .collect(),
        );

        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return pages,
        }
    }
}

#[tokio::test]
async fn a_candle_has_the_first_greatest_least_and_last_price_of_its_period() {
    let api = Api::start().await;
    api.store(&[
        quote("2024-03-20T10:00:00Z", "10"),
        quote("2024-03-20T10:20:00Z", "12.5"),
        quote("2024-03-20T10:40:00Z", "9.5"),
        quote("2024-03-20T10:59:59.999999Z", "11"),
        quote("2024-03-20T11:00:00Z", "20"),
        quote("2024-03-20T14:30:00Z", "99999999999.999999999999999"),
    ])
    .await;

    let answered = candles(&api, "interval=1h").await;
    let body = answered.json();
    assert_eq!(
        [
            &body["symbol"],
            &body["provider"],
            &body["interval"],
            &body["tz"]
        ],
        [
            &json!("AAPL"),
            &json!("quoter"),
            &json!("1h"),
            &json!("UTC")
        ]
    );
    assert_eq!(body["next_cursor"], Value::Null);

    let oldest = &body["items"][2];
    let expected = json!({
        "timestamp": "2024-03-20T10:00:00Z", "end": "2024-03-20T11:00:00Z",
        "open": 10, "high": 12.5, "low": 9.5, "close": 11,
        "currency": "USD", "points": 4, "complete": true
    });
    assert_eq!(*oldest, expected);

    assert_eq!(
        answered.each("timestamp"),
        [
            "2024-03-20T14:00:00Z",
            "2024-03-20T11:00:00Z",
            "2024-03-20T10:00:00Z"
        ],
        "hours without a price have no candle"
    );
    assert!(
        answered
            .text
            .contains("\"close\":99999999999.999999999999999,"),
        "every digit arrives: {}",
        answered.text
    );
}

#[tokio::test]
async fn each_interval_divides_the_same_points() {
    let api = Api::start().await;
    let points: Vec<PriceEvent> = (0..7_200)
        .step_by(30)
        .map(|second| {
            let at = time("2024-03-20T22:30:00Z") + TimeDelta::seconds(second);
            polled("AAPL", "quoter", &(1 + second).to_string(), at, at)
        })
        .collect();
    api.store(&points).await;

    for (interval, count, newest) in [
        ("1m", 120, "2024-03-21T00:29:00Z 7141 7171 7141 7171 2"),
        ("5m", 24, "2024-03-21T00:25:00Z 6901 7171 6901 7171 10"),
        ("15m", 8, "2024-03-21T00:15:00Z 6301 7171 6301 7171 30"),
        ("1h", 3, "2024-03-21T00:00:00Z 5401 7171 5401 7171 60"),
        ("1d", 2, "2024-03-21T00:00:00Z 5401 7171 5401 7171 60"),
    ] {
        let candles = pages(&api, &format!("interval={interval}&limit=1000"))
            .await
            .concat();
        assert_eq!(
            (candles.len(), candles[0].as_str()),
            (count, newest),
            "{interval}"
        );
    }
}

#[tokio::test]
async fn the_running_candle_is_not_complete() {
    let api = Api::start().await;
    let now = Utc::now();
    let [earlier, later] = [now - TimeDelta::days(1), now + TimeDelta::hours(1)];
    api.store(&[
        polled("AAPL", "quoter", "1", earlier, now),
        polled("AAPL", "quoter", "2", now, now),
        polled("AAPL", "quoter", "3", later, now),
    ])
    .await;

    let minutes = candles(&api, "interval=1m").await;
    assert_eq!(
        minutes.each("complete"),
        [json!(false), json!(false), json!(true)]
    );
    let days = candles(&api, "interval=1d").await.each("complete");
    assert_eq!((&days[0], days.last()), (&json!(false), Some(&json!(true))));
}

#[tokio::test]
async fn days_are_those_of_the_time_zone_also_where_clocks_change() {
    let api = Api::start().await;
    api.store(&[
        quote("2024-03-10T04:59:59Z", "1"),
        quote("2024-03-10T05:00:00Z", "2"),
        quote("2024-03-11T03:59:59Z", "3"),
        quote("2024-03-11T04:00:00Z", "4"),
        quote("2024-11-03T04:00:00Z", "5"),
        quote("2024-11-04T04:59:59Z", "6"),
        quote("2024-11-04T05:00:00Z", "7"),
    ])
    .await;

    let query = "interval=1d&tz=America/New_York";
    assert_eq!(
        pages(&api, query).await.concat(),
        [
            "2024-11-04T05:00:00Z 7 7 7 7 1",
            "2024-11-03T04:00:00Z 5 6 5 6 2",
            "2024-03-11T04:00:00Z 4 4 4 4 1",
            "2024-03-10T05:00:00Z 2 3 2 3 2",
            "2024-03-09T05:00:00Z 1 1 1 1 1",
        ]
    );
    assert_eq!(
        candles(&api, query).await.each("end")[1],
        "2024-11-04T05:00:00Z",
        "25 hours later"
    );

    let in_utc = pages(&api, "interval=1d").await.concat();
    assert_eq!(in_utc[3..], ["2024-03-10T00:00:00Z 1 2 1 2 2"]);
    let hours = pages(&api, "interval=1h&tz=Asia/Kathmandu").await.concat();
    assert_eq!(hours[0], "2024-11-04T05:00:00Z 7 7 7 7 1");
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repeat() {
    let api = Api::start().await;
    // Two days with prices, and years without, several times.
    let days = [0, 1, 1_000, 1_001, 1_003, 9_000];
    let events: Vec<PriceEvent> = days
        .iter()
        .map(|day| {
            let at = time("1990-01-01T12:00:00Z") + TimeDelta::days(*day);
            polled("AAPL", "quoter", &(1 + day).to_string(), at, at)
        })
        .collect();
    api.store(&events).await;

    for interval in ["1m", "1d", "1d&tz=Asia/Kolkata"] {
        let whole = pages(&api, &format!("interval={interval}")).await.concat();
        assert_eq!(whole.len(), days.len());

        for limit in 1..=7 {
            let query = format!("interval={interval}&limit={limit}");
            let pages = pages(&api, &query).await;
            assert_eq!(pages.len(), days.len().div_ceil(limit), "{query}");
            assert_eq!(pages.concat(), whole, "{query}");
        }
    }
}

#[tokio::test]
async fn candles_that_begin_within_the_range_come_whole() {
    let api = Api::start().await;
    let hours = (0..6).map(|hour| quote(&format!("2024-03-20T0{hour}:30:00Z"), "1"));
    api.store(&hours.collect::<Vec<_>>()).await;

    for (from, to, starts) in [
        ("01:00:00", "03:00:00", vec!["02", "01"]),
        ("00:59:59.999999", "03:00:00.000001", vec!["03", "02", "01"]),
        ("01:45:00", "02:15:00", vec!["02"]),
        ("01:15:00", "01:45:00", vec![]),
    ] {
        let query = format!("interval=1h&from=2024-03-20T{from}Z&to=2024-03-20T{to}Z");
        let starts: Vec<String> = starts
            .iter()
            .map(|hour| format!("2024-03-20T{hour}:00:00Z 1 1 1 1 1"))
            .collect();
        for limit in [1, 2, 100] {
            let pages = pages(&api, &format!("{query}&limit={limit}")).await;
            assert_eq!(pages.concat(), starts, "{query}");
        }
    }
}

#[tokio::test]
async fn a_period_in_which_the_unit_changes_has_a_candle_for_each_unit() {
    let api = Api::start().await;
    let of = |unit: Option<&str>, price: &str, time: &str| PriceEvent {
        currency: unit.map(|unit| unit.parse().expect("a unit")),
        ..quote(time, price)
    };
    api.store(&[
        of(Some("GBp"), "2005", "2024-03-20T10:01:00Z"),
        of(Some("GBp"), "2006", "2024-03-20T10:02:00Z"),
        of(Some("GBP"), "20.07", "2024-03-20T10:03:00Z"),
        of(None, "3", "2024-03-20T10:04:00Z"),
        of(Some("GBp"), "2004", "2024-03-20T10:05:00Z"),
        of(Some("GBp"), "7", "2024-03-20T09:00:00Z"),
    ])
    .await;

    let answered = candles(&api, "interval=1h").await;
    assert_eq!(
        answered.each("currency"),
        [json!("GBP"), json!("GBp"), json!(null), json!("GBp")]
    );

    let expected = vec![
        vec![
            "2024-03-20T10:00:00Z 20.07 20.07 20.07 20.07 1".to_owned(),
            "2024-03-20T10:00:00Z 2005 2006 2004 2004 3".to_owned(),
            "2024-03-20T10:00:00Z 3 3 3 3 1".to_owned(),
        ],
        vec!["2024-03-20T09:00:00Z 7 7 7 7 1".to_owned()],
    ];
    assert_eq!(
        pages(&api, "interval=1h&limit=1").await,
        expected,
        "a page never divides a period"
    );
}

#[tokio::test]
async fn a_cursor_stays_with_the_series_it_began_in() {
    let api = Api::start().await;
    let spare: Vec<PriceEvent> = (0..3)
        .map(|minute| event("AAPL", "spare", "1", minute * 60))
        .collect();
    api.store(&spare).await;
    let first = candles(&api, "interval=1m&limit=1").await.json();

    api.store(&[event("AAPL", "quoter", "2", 0)]).await;
    let cursor = first["next_cursor"].as_str().expect("a cursor").to_owned();
    let second = candles(&api, &format!("interval=1m&limit=1&cursor={cursor}")).await;
    assert_eq!(second.json()["provider"], "spare");

    let path = format!("/prices/candles?symbol=AAPL&interval=1m&provider=quoter&cursor={cursor}");
    let refused = api.get(&path).await;
    assert_eq!(refused.status, 422);
    assert_eq!(refused.json()["errors"][0]["location"], "query.cursor");
}

#[tokio::test]
async fn an_unchanged_page_is_confirmed_by_its_tag() {
    let api = Api::start().await;
    api.store(&[quote("2024-03-20T10:00:00Z", "10")]).await;

    let path = "/prices/candles?symbol=AAPL&interval=1d";
    let answered = api.get(path).await;
    let head = api.send("HEAD", path, String::new()).await;
    assert_eq!(
        head.header("content-length"),
        answered.bytes.len().to_string()
    );

    let tag = [("if-none-match", answered.header("etag"))];
    let again = async || api.send_with("GET", path, String::new(), &tag).await.status;
    assert_eq!(again().await, 304);

    api.store(&[quote("2024-03-20T09:00:00Z", "11")]).await;
    assert_eq!(again().await, 200, "a late price changes the day");
}
