//! The page for everybody: by keyboard, by screen reader, in light and dark, on small and large
//! screens. The pictures in the README come from here.

use std::time::Duration;

use e2e::waiting::until;

use crate::visitor::{Visitor, lively_stack};

#[tokio::test]
#[ignore = "needs tools/page/install"]
async fn axe_finds_nothing_serious_and_nothing_is_out_of_reach_at_any_width() {
    let data = tempfile::tempdir().unwrap();
    let stack = lively_stack(data.path()).await;
    stack.poll(&["AAPL", "MSFT", "GOOG", "IBM", "FB"], 1).await;
    stack.poll(&["AAPL", "NOPE"], 60).await;
    until("points to draw", Duration::from_secs(90), async || {
        let (_, history) = stack.get("/prices/history?symbol=AAPL&limit=60").await;
        let items = history["items"].as_array()?;
        (items.len() >= 45).then_some(())
    })
    .await;

    let said = Visitor::of("accessibility.mjs", &stack).said().await;

    println!("pictures and widths: {said}");
}

#[tokio::test]
#[ignore = "needs tools/page/install"]
async fn everything_can_be_done_by_keyboard() {
    let data = tempfile::tempdir().unwrap();
    let stack = lively_stack(data.path()).await;

    Visitor::of("keyboard.mjs", &stack).said().await;
}
