//! Prices that appear, move and are corrected before the visitor's eyes.

use std::time::Duration;

use e2e::stack::Stack;
use e2e::waiting::until;

use crate::events::{SOURCE, publish};
use crate::visitor::{Visitor, lively_stack};

#[tokio::test]
#[ignore = "needs tools/page/install"]
async fn a_first_visit_leads_to_a_moving_chart_within_three_clicks() {
    let data = tempfile::tempdir().unwrap();
    let stack = lively_stack(data.path()).await;

    let said = Visitor::of("first-visit.mjs", &stack).said().await;

    assert!(said["clicks"].as_u64().unwrap() <= 3, "{said}");
}

#[tokio::test]
#[ignore = "needs tools/page/install"]
async fn a_published_price_shows_within_two_seconds_with_all_its_digits() {
    let data = tempfile::tempdir().unwrap();
    let stack = Stack::start_in(data.path()).await.unwrap();
    let producer = stack.producer().unwrap();
    publish(&producer, "ACME", "1", "2024-03-20T10:30:00Z").await;
    stored(&stack, 1).await;

    let mut visitor = Visitor::of("live-update.mjs", &stack);
    for (price, time) in [
        ("99999999999.999999999999999", "2024-03-20T10:30:01Z"),
        ("0.1", "2024-03-20T10:30:02Z"),
        ("0.30000000000000000001", "2024-03-20T10:30:03Z"),
    ] {
        visitor.until(price).await;
        publish(&producer, "ACME", price, time).await;
        visitor.go_on().await;
    }

    // The quickest: a busy machine may delay one of them.
    let said = visitor.said().await;
    println!("milliseconds from the acknowledged event to the screen: {said}");
    let quickest = said
        .as_array()
        .unwrap()
        .iter()
        .filter_map(serde_json::Value::as_f64);
    assert!(quickest.fold(f64::INFINITY, f64::min) < 2_000.0, "{said}");
}

#[tokio::test]
#[ignore = "needs tools/page/install"]
async fn a_late_point_moves_the_drawn_average() {
    let data = tempfile::tempdir().unwrap();
    let stack = Stack::start_in(data.path()).await.unwrap();
    let producer = stack.producer().unwrap();
    for (second, price) in [(0, "10"), (1, "20"), (3, "30"), (4, "40")] {
        let time = format!("2024-03-20T10:30:0{second}Z");
        publish(&producer, "ACME", price, &time).await;
    }
    stored(&stack, 4).await;

    let mut visitor = Visitor::of("late-point.mjs", &stack);
    visitor.until("late point").await;
    publish(&producer, "ACME", "100", "2024-03-20T10:30:02Z").await;
    visitor.go_on().await;

    visitor.said().await;
}

#[tokio::test]
#[ignore = "needs tools/page/install"]
async fn candles_are_drawn_and_listed_with_all_their_digits() {
    let data = tempfile::tempdir().unwrap();
    let stack = Stack::start_in(data.path()).await.unwrap();
    let producer = stack.producer().unwrap();
    for (time, price) in [
        ("10:30:00", "0.1"),
        ("10:30:20", "30"),
        ("10:30:40", "20.000000000000000001"),
        ("10:31:00", "40"),
    ] {
        let time = format!("2024-03-20T{time}Z");
        publish(&producer, "ACME", price, &time).await;
    }
    stored(&stack, 4).await;

    Visitor::of("candles.mjs", &stack).said().await;
}

#[tokio::test]
#[ignore = "needs tools/page/install"]
async fn a_page_without_its_pipeline_says_so_and_goes_on_when_it_is_back() {
    let data = tempfile::tempdir().unwrap();
    let stack = Stack::start_in(data.path()).await.unwrap();
    let producer = stack.producer().unwrap();
    publish(&producer, "ACME", "1", "2024-03-20T10:30:00Z").await;
    stored(&stack, 1).await;

    let mut visitor = Visitor::of("disconnected.mjs", &stack);
    visitor.until("disconnected").await;
    publish(&producer, "ACME", "2.5", "2024-03-20T10:30:01Z").await;
    stored(&stack, 2).await;
    visitor.go_on().await;

    visitor.said().await;
}

/// Waits until the series has that many points.
async fn stored(stack: &Stack, points: usize) {
    let path = format!("/prices/history?symbol=ACME&provider={SOURCE}");
    until("all points", Duration::from_secs(30), async || {
        let (_, history) = stack.get(&path).await;
        let items = history["items"].as_array()?;
        (items.len() == points).then_some(())
    })
    .await;
}
