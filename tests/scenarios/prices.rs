//! Walk 1: a price is read.

use std::time::Duration;

use e2e::stack::Stack;
use e2e::waiting::until;

#[tokio::test]
async fn a_price_that_is_read_becomes_a_point_with_its_average_through_kafka() {
    let data = tempfile::tempdir().unwrap();
    let stack = Stack::start_in(data.path()).await.unwrap();

    let (status, quote) = stack.get("/prices/latest?symbol=aapl").await;
    assert_eq!(status, 200, "{quote}");
    assert_eq!(
        (&quote["symbol"], &quote["provider"]),
        (&"AAPL".into(), &"replay".into())
    );

    let stored = until("point", Duration::from_secs(10), async || {
        let (_, history) = stack.get("/prices/history?symbol=AAPL").await;
        history["items"]
            .as_array()
            .filter(|items| !items.is_empty())
            .cloned()
    })
    .await;

    assert_eq!(stored.len(), 1, "one quote is one point");
    assert_eq!(
        (&stored[0]["price"], &stored[0]["timestamp"]),
        (&quote["price"], &quote["timestamp"])
    );
    assert_eq!(
        (&stored[0]["moving_average"], &stored[0]["points"]),
        (&quote["price"], &1.into())
    );

    let (status, again) = stack.get("/prices/latest?symbol=AAPL&max_age=600").await;
    assert_eq!(
        (status, &again["polled_at"]),
        (200, &quote["polled_at"]),
        "answered from what is stored"
    );

    let (_, average) = stack.get("/prices/average?symbol=AAPL").await;
    assert_eq!(
        (&average["points"], &average["window"]),
        (&1.into(), &5.into()),
        "{average}"
    );

    let (_, symbols) = stack.get("/symbols").await;
    assert_eq!(symbols["items"][0]["provider"], "replay", "{symbols}");
}
