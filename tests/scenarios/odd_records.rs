//! Records that no well-behaved producer would send: none of them ends the reader or delays another
//! record.

use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use e2e::binaries;
use e2e::raw_records::{RawBatch, RawHeader, RawRecord, send};
use e2e::stack::{Options, Stack};
use e2e::topic::PRICE_EVENTS;
use e2e::waiting::until;
use serde_json::Value;

fn event(second: usize) -> Vec<u8> {
    format!(
        r#"{{"symbol":"ODD","price":1.5,"timestamp":"2024-03-20T10:30:{second:02}Z","source":"elsewhere","polled_at":"2024-03-20T10:31:00Z"}}"#
    )
    .into_bytes()
}

/// Names and values of headers, a list for each record.
fn odd_headers() -> Vec<Vec<RawHeader>> {
    vec![
        vec![(b"pa\xeds".to_vec(), Some(b"x".to_vec()))],
        vec![
            (vec![0xff; 300], None),
            (Vec::new(), Some(Vec::new())),
            (Vec::new(), None),
        ],
        vec![(b"nul\0inside".to_vec(), Some(b"\0\xff".to_vec()))],
        vec![(b"large".to_vec(), Some(vec![0x80; 200_000]))],
        (0..2_000)
            .map(|number| (format!("h{number}").into_bytes(), None))
            .collect(),
    ]
}

async fn stack(data: &tempfile::TempDir) -> Stack {
    Stack::start_in(data.path()).await.unwrap()
}

async fn until_points(stack: &Stack, count: usize) {
    until("all points", Duration::from_secs(30), async || {
        let (_, history) = stack
            .get("/prices/history?symbol=ODD&provider=elsewhere")
            .await;
        history["items"]
            .as_array()
            .filter(|items| items.len() == count)
            .map(drop)
    })
    .await;
}

#[tokio::test]
async fn records_with_any_headers_become_points_and_those_behind_them_too() {
    let data = tempfile::tempdir().unwrap();
    let stack = stack(&data).await;

    let headers = odd_headers();
    let odd = headers.len();

    let mut records: Vec<_> = headers
        .into_iter()
        .chain([Vec::new()])
        .enumerate()
        .map(|(second, headers)| RawRecord {
            value: Some(event(second)),
            headers,
            ..RawRecord::default()
        })
        .collect();

    records[0].key = Some(b"\xff\xfe".to_vec());
    records[1].key = Some(Vec::new());

    let batch = RawBatch {
        timestamp: Utc::now().timestamp_millis(),
        codec: 0,
        records,
    };

    send(
        &stack.ready.kafka_bootstrap_servers,
        PRICE_EVENTS,
        3,
        &batch,
    )
    .await
    .unwrap();

    until_points(&stack, odd + 1).await;
}

#[tokio::test]
async fn a_record_without_a_time_reaches_the_function_as_one_without_a_time() {
    let data = tempfile::tempdir().unwrap();
    let stack = stack(&data).await;

    let (tombstone, untimed) = (
        RawRecord::default(),
        RawRecord {
            value: Some(b"no event".to_vec()),
            ..RawRecord::default()
        },
    );

    let batch = RawBatch {
        timestamp: -1,
        codec: 0,
        records: vec![tombstone, untimed],
    };

    send(
        &stack.ready.kafka_bootstrap_servers,
        PRICE_EVENTS,
        0,
        &batch,
    )
    .await
    .unwrap();

    let database = stack.database().unwrap();
    // Delivered as -1, a moment before 1970. A record time of 0 would be in 1970, which is valid.
    until("both in quarantine", Duration::from_secs(30), async || {
        let query = "select count(*) from rejected_events where record_timestamp < 'epoch'";

        let kept: i64 = sqlx::query_scalar(query)
            .fetch_one(&database)
            .await
            .unwrap();
        (kept == 2).then_some(())
    })
    .await;
}

/// Whether `emulator health` succeeds, and what it reports.
async fn health(data: &Path) -> (bool, Value) {
    let mut command = tokio::process::Command::new(binaries::directory().unwrap().join("emulator"));
    let told = command
        .args(["health", "--data-dir"])
        .arg(data)
        .output()
        .await
        .unwrap();

    (
        told.status.success(),
        serde_json::from_slice(&told.stdout).unwrap_or_default(),
    )
}

#[tokio::test]
async fn a_partition_that_cannot_be_read_fails_the_health_command_which_names_it_while_others_go_on()
 {
    let data = tempfile::tempdir().unwrap();
    let flags: &[&str] = &["--broker", "embedded"];
    let options = Options {
        data_directory: data.path().into(),
        flags,
        ..Options::default()
    };

    let stack = Stack::start(options).await.unwrap();

    assert!(
        health(data.path()).await.0,
        "{:?}",
        health(data.path()).await.1
    );

    let batch = |codec| RawBatch {
        timestamp: Utc::now().timestamp_millis(),
        codec,
        records: vec![RawRecord {
            value: Some(event(1)),
            ..RawRecord::default()
        }],
    };

    let servers = &stack.ready.kafka_bootstrap_servers;
    // A real broker refuses a codec that does not exist; the embedded one accepts any batch.
    send(servers, PRICE_EVENTS, 4, &batch(7)).await.unwrap();

    send(servers, PRICE_EVENTS, 0, &batch(0)).await.unwrap();
    until_points(&stack, 1).await;

    let trouble = until("trouble", Duration::from_secs(90), async || {
        let (succeeds, told) = health(data.path()).await;
        told["troubles"][0]
            .as_str()
            .filter(|_| !succeeds)
            .map(str::to_owned)
    })
    .await;

    assert!(
        trouble.starts_with("partition 4 of price-events has not been read beyond offset 0"),
        "{trouble}"
    );
    assert!(trouble.contains("codec 0x7"), "{trouble}");
}
