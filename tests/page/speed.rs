//! How fast the page is. The figures are printed; a test fails only if they are far off.

use std::time::Duration;

use e2e::stack::Stack;
use tokio::time::MissedTickBehavior;

use crate::events::publish;
use crate::visitor::Visitor;

/// Symbols that move once a second.
const SYMBOLS: usize = 200;
/// Points of the series that is drawn.
const POINTS: usize = 10_000;

#[tokio::test]
#[ignore = "needs tools/page/install"]
async fn two_hundred_symbols_move_each_second_without_a_stutter() {
    let data = tempfile::tempdir().unwrap();
    let stack = Stack::start_in(data.path()).await.unwrap();
    let producer = stack.producer().unwrap();
    let long = chrono::Utc::now() - chrono::TimeDelta::hours(4);
    for point in 0..POINTS {
        let time = long + chrono::TimeDelta::seconds(i64::try_from(point).unwrap());
        let price = format!("{}.{:02}", 100 + point % 7, point % 100);
        publish(&producer, "LONG", &price, &time.to_rfc3339()).await;
    }

    let moving = tokio::spawn(async move {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            second.tick().await;
            let now = chrono::Utc::now();
            let time = now.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
            for symbol in 0..SYMBOLS {
                let price = format!("{}.{:02}", 50 + symbol, now.timestamp() % 100);
                publish(&producer, &format!("S{symbol:03}"), &price, &time).await;
            }
        }
    });
    let said = Visitor::of("speed.mjs", &stack).said().await;
    moving.abort();

    println!("{}", serde_json::to_string_pretty(&said).unwrap());
    let rows = said["rows"].as_u64().unwrap();
    assert!(rows >= u64::try_from(SYMBOLS).unwrap(), "{said}");
}
