//! Events that are not averaged show in `/health`, on the broker that the emulator starts.

use std::time::Duration;

use e2e::stack::Stack;
use e2e::waiting::until;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

async fn status(stack: &Stack, wanted: &str) -> Value {
    until(&format!("health that is {wanted}"), PATIENCE, async || {
        let (code, health) = stack.get("/health").await;
        assert_eq!(code, 200, "{health}");
        (health["status"] == wanted).then_some(health)
    })
    .await
}

#[tokio::test]
async fn health_is_degraded_while_events_are_not_averaged_and_names_the_partition() {
    let data = tempfile::tempdir().unwrap();
    let stack = Stack::start_in(data.path()).await.unwrap();

    let well = status(&stack, "ok").await;
    let averaging = &well["checks"]["averaging"];
    assert_eq!(
        averaging["partitions"].as_array().map(Vec::len),
        Some(6),
        "{well}"
    );
    assert!(
        well["checks"]["upkeep"]["last_success_at"].is_string(),
        "{well}"
    );

    // No point of any series can be stored while the fences are locked.
    let database = stack.database().unwrap();
    let mut holder = database.begin().await.unwrap();
    sqlx::query("select from ingest_fences for update")
        .execute(&mut *holder)
        .await
        .unwrap();

    let (symbol, minutes_ago) = ("AAPL", chrono::Utc::now() - chrono::TimeDelta::minutes(5));
    let event = format!(
        r#"{{"symbol":"{symbol}","price":1,"timestamp":"{}","source":"test"}}"#,
        minutes_ago.to_rfc3339()
    );

    let producer = stack.producer().unwrap();
    producer
        .send_at(symbol, event.as_bytes(), minutes_ago.timestamp_millis())
        .await
        .unwrap();

    let late = status(&stack, "degraded").await;
    let averaging = &late["checks"]["averaging"];
    let detail = averaging["detail"].as_str().unwrap();
    assert!(
        detail.contains("is 1 record behind, the oldest 3"),
        "{detail}"
    );
    assert_eq!(late["checks"]["kafka"]["status"], "ok");

    holder.rollback().await.unwrap();
    status(&stack, "ok").await;
}
