//! `GET /prices/history`: pages of a series, newest first.

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::price_event::PriceEvent;

use crate::fixture::{Api, at, event, polled};

/// Points with the prices 1 to `count`, a second apart.
fn points(count: i64) -> Vec<PriceEvent> {
    (1..=count)
        .map(|number| event("AAPL", "quoter", &number.to_string(), number))
        .collect()
}

/// The prices of all pages, page by page.
async fn pages(api: &Api, query: &str) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();

    loop {
        let answered = api.get(&format!("/prices/history?{query}{cursor}")).await;
        assert_eq!(answered.status, 200, "{}", answered.text);
        pages.push(answered.each("price"));

        match answered.json()["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return pages,
        }
    }
}

#[tokio::test]
async fn points_come_newest_first_each_with_its_own_average() {
    let api = Api::start().await;
    api.store(&points(7)).await;

    let answered = api.get("/prices/history?symbol=AAPL").await;
    let body = answered.json();
    assert_eq!(
        (&body["symbol"], &body["provider"]),
        (&json!("AAPL"), &json!("quoter"))
    );

    assert_eq!(body["next_cursor"], Value::Null);

    assert_eq!(
        answered.each("price"),
        [7, 6, 5, 4, 3, 2, 1].map(Value::from)
    );

    let averages = [
        json!(5),
        json!(4),
        json!(3),
        json!(2.5),
        json!(2),
        json!(1.5),
        json!(1),
    ];

    assert_eq!(answered.each("moving_average"), averages);
    assert_eq!(
        answered.each("points"),
        [5, 5, 5, 4, 3, 2, 1].map(Value::from)
    );

    assert_eq!(answered.each("timestamp")[0], "2023-11-14T22:13:27Z");
    assert_eq!(answered.each("polled_at")[0], "2023-11-14T22:13:28Z");
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repeat_and_the_last_has_no_cursor() {
    let api = Api::start().await;

    // A microsecond apart, which is the resolution of stored times.
    let close: Vec<PriceEvent> = (1..=6)
        .map(|number| {
            let time = at(0) + TimeDelta::microseconds(number);
            polled("AAPL", "quoter", &number.to_string(), time, at(1))
        })
        .collect();
    api.store(&close).await;

    for limit in 1..=7 {
        let pages = pages(&api, &format!("symbol=AAPL&limit={limit}")).await;
        assert_eq!(pages.len(), 6_usize.div_ceil(limit), "limit {limit}");
        assert_eq!(
            pages.concat(),
            [6, 5, 4, 3, 2, 1].map(Value::from),
            "limit {limit}"
        );
    }
}

#[tokio::test]
async fn from_is_included_and_to_is_not_on_every_page() {
    let api = Api::start().await;
    api.store(&points(6)).await;

    let (from, to) = ("2023-11-14T22:13:22Z", "2023-11-14T23:13:25%2B01:00");

    for limit in [1, 2, 3, 100] {
        let query = format!("symbol=AAPL&from={from}&to={to}&limit={limit}");
        assert_eq!(
            pages(&api, &query).await.concat(),
            [4, 3, 2].map(Value::from),
            "limit {limit}"
        );
    }

    let before_all = api
        .get("/prices/history?symbol=AAPL&to=1970-01-01T00:00:00Z")
        .await;
    assert_eq!(
        (before_all.status, before_all.each("price").len()),
        (200, 0)
    );
}

#[tokio::test]
async fn a_point_that_is_stored_meanwhile_does_not_disturb_the_pages() {
    let api = Api::start().await;
    api.store(&points(4)).await;

    let first = api.get("/prices/history?symbol=AAPL&limit=2").await;
    api.store(&[event("AAPL", "quoter", "9", 100)]).await;

    let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
    let second = api
        .get(&format!(
            "/prices/history?symbol=AAPL&limit=2&cursor={cursor}"
        ))
        .await;

    assert_eq!(second.each("price"), [2, 1].map(Value::from));
}

#[tokio::test]
async fn a_cursor_stays_with_the_series_it_began_in() {
    let api = Api::start().await;
    api.store(&[
        event("AAPL", "spare", "1", 1),
        event("AAPL", "spare", "2", 2),
    ])
    .await;

    let first = api.get("/prices/history?symbol=AAPL&limit=1").await.json();
    assert_eq!(first["provider"], "spare");

    // Now the default provider has a series too. A request without a provider and cursor would mean
    // that one.
    api.store(&points(9)).await;

    let cursor = first["next_cursor"].as_str().unwrap();
    let second = api
        .get(&format!(
            "/prices/history?symbol=AAPL&limit=1&cursor={cursor}"
        ))
        .await;

    assert_eq!(
        (&second.json()["provider"], second.each("price")),
        (&json!("spare"), vec![json!(1)])
    );

    let other = api
        .get(&format!(
            "/prices/history?symbol=AAPL&provider=quoter&cursor={cursor}"
        ))
        .await;
    assert_eq!(
        (other.status, &other.json()["errors"][0]["location"]),
        (422, &json!("query.cursor"))
    );
}

#[tokio::test]
async fn a_page_has_a_hundred_points_unless_told_and_a_thousand_at_most() {
    let api = Api::start().await;
    api.store(&points(1_001)).await;

    let sizes = async |query: &str| {
        pages(&api, query)
            .await
            .iter()
            .map(Vec::len)
            .collect::<Vec<_>>()
    };

    assert_eq!(sizes("symbol=AAPL").await[..2], [100, 100]);
    assert_eq!(sizes("symbol=AAPL&limit=1000").await, [1_000, 1]);

    for limit in ["0", "1001", "-1", "1.0", ""] {
        let refused = api
            .get(&format!("/prices/history?symbol=AAPL&limit={limit}"))
            .await;
        assert_eq!(
            (refused.status, &refused.json()["errors"][0]["location"]),
            (422, &json!("query.limit"))
        );
    }
}
