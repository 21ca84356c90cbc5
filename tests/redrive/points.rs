//! Dead letters that are sent back become the points that they would have been.

use averager::batch::{DecodedBatch, decode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::Utc;
use e2e::reference;
use serde_json::{Value, json};
use shared::repository::ingest::Ingest;

use crate::world::{PARTITIONS, Record, World, bare, envelope, original};

/// The records as the event source mapping delivers them.
fn batch(records: impl Iterator<Item = Value>) -> DecodedBatch {
    let records: Vec<Value> = records.collect();
    let event = json!({"eventSource": "aws:kafka", "records": {"price-events-0": records}});
    decode(event.to_string().as_bytes(), Utc::now()).unwrap()
}

fn as_event(record: &Record) -> Value {
    json!({
        "topic": "price-events", "partition": record.partition, "offset": record.offset,
        "timestamp": record.timestamp, "timestampType": "CREATE_TIME",
        "key": record.key.as_ref().map(|key| BASE64.encode(key)), "value": BASE64.encode(&record.value),
        "headers": [],
    })
}

#[tokio::test]
async fn dead_letters_become_the_points_they_would_have_been_though_newer_answers_came_first() {
    let pool = e2e::postgres::database().await.unwrap();
    let world = World::new();

    // Two answers for one quote, neither with an id or a poll time. The newer one was stored; the
    // older one and other quotes became dead letters.
    let dead: Vec<Value> = [
        (10, 1, "99"),
        (11, 2, "150.25"),
        (12, 3, "0.00000812"),
        (13, 4, "151.5"),
        (14, 5, "152"),
    ]
    .map(|(offset, minute, price)| original(offset, &bare(minute, price)))
    .to_vec();

    let stored = original(20, &bare(1, "100"));
    let ingest = Ingest::new(pool.clone());
    let first = batch([stored.clone()].into_iter());
    ingest.store(&first.events, &first.rejected).await.unwrap();

    for (partition, record) in (0..).zip(&dead) {
        world
            .dead(partition % 2, &envelope("RetriesExhausted", record))
            .await;
    }
    assert_eq!(world.redrive(None, false).await.0.sent, dead.len());

    let redriven = batch(world.records().await.iter().map(as_event));
    assert_eq!(redriven.rejected.len(), 0);
    let result = ingest.store(&redriven.events, &[]).await.unwrap();
    assert_eq!(
        (result.added, result.superseded),
        (4, 1),
        "the older answer stays beaten"
    );

    let all = batch(dead.into_iter().chain([stored]));
    assert_eq!(
        reference::stored(&pool).await,
        reference::expected(&all.events)
    );
}

#[tokio::test]
async fn one_symbol_keeps_to_the_partition_of_its_key() {
    let world = World::new();
    for offset in 0..4 {
        world
            .dead(
                0,
                &envelope("RetriesExhausted", &original(offset, &bare(1, "1"))),
            )
            .await;
    }

    world.redrive(None, false).await;

    let partitions: Vec<i32> = world
        .records()
        .await
        .iter()
        .map(|record| record.partition)
        .collect();

    assert_eq!(partitions.len(), 4);
    assert!(
        partitions
            .iter()
            .all(|partition| *partition == partitions[0] && *partition < PARTITIONS)
    );
}
