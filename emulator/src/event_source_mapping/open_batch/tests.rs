use rdkafka::Timestamp;
use serde_json::{Value, json};

use super::super::received::Header;
use super::*;

fn message(partition: i32, offset: i64, value: Option<&[u8]>) -> Received<'_> {
    let (key, timestamp) = (Some(&b"AAPL"[..]), Timestamp::CreateTime(1_545_084_650_987));
    Received {
        topic: "prices",
        partition,
        offset,
        timestamp,
        key,
        value,
        headers: Vec::new(),
        read_at: 0,
    }
}

fn head() -> EventHead {
    EventHead::new("arn:aws:kafka:us-east-1:1:cluster/c/1", "127.0.0.1:9092")
}

fn closed(batch: OpenBatch) -> Batch {
    batch.close(&head(), "prices")
}

fn event(batch: &Batch, numbers: &[usize]) -> Value {
    serde_json::from_slice(&batch.event(&head(), "prices", numbers)).unwrap()
}

#[test]
fn the_event_has_the_shape_that_msk_sends() {
    let name = "tête\"".as_bytes();
    let headers = vec![
        Header {
            name,
            value: Some("é".as_bytes()),
        },
        Header { name, value: None },
    ];

    let mut batch = OpenBatch::default();
    let first = Received {
        headers,
        ..message(0, 15, Some(b"{}"))
    };
    let tombstone = Received {
        key: None,
        timestamp: Timestamp::LogAppendTime(7),
        ..message(3, 9, None)
    };
    assert!(batch.append(&first, 1) && batch.append(&tombstone, 1));

    let expected = json!({
        "eventSource": "aws:kafka",
        "eventSourceArn": "arn:aws:kafka:us-east-1:1:cluster/c/1",
        "bootstrapServers": "127.0.0.1:9092",
        "records": {
            "prices-0": [{ "topic": "prices", "partition": 0, "offset": 15, "timestamp": 1_545_084_650_987_i64,
                "timestampType": "CREATE_TIME", "key": "QUFQTA==", "value": "e30=",
                "headers": [{ "tête\"": [-61, -87] }, { "tête\"": [] }] }],
            "prices-3": [{ "topic": "prices", "partition": 3, "offset": 9, "timestamp": 7,
                "timestampType": "LOG_APPEND_TIME", "key": null, "value": null, "headers": [] }],
        },
    });
    assert_eq!(event(&closed(batch), &[0, 1]), expected);
}

#[test]
fn whatever_a_producer_sends_becomes_an_event_that_can_be_read() {
    let headers: [(&[u8], Option<&[u8]>); 5] = [
        (b"pa\xeds", Some(b"\xff\x00")),
        (b"", Some(b"")),
        (b"", None),
        (b"\n\x1b\\", None),
        (&[0xff; 9], None),
    ];
    let headers = headers.map(|(name, value)| Header { name, value }).to_vec();

    let record = Received {
        timestamp: Timestamp::NotAvailable,
        key: Some(b""),
        value: Some(b"\xff\xfe"),
        headers,
        ..message(0, 15, None)
    };

    let mut batch = OpenBatch::default();
    batch.append(&record, 1);

    let replaced = "\u{fffd}".repeat(9);
    let expected = json!({ "topic": "prices", "partition": 0, "offset": 15, "timestamp": -1,
        "timestampType": "CREATE_TIME", "key": "", "value": "//4=",
        "headers": [{ "pa\u{fffd}s": [-1, 0] }, { "": [] }, { "": [] }, { "\n\u{1b}\\": [] }, { replaced: [] }] });
    assert_eq!(
        event(&closed(batch), &[0])["records"]["prices-0"][0],
        expected
    );
}

#[test]
fn a_record_that_waited_for_room_stands_in_the_event_as_any_other() {
    let headers = vec![Header {
        name: b"pa\xeds",
        value: Some(b"x"),
    }];
    let record = Received {
        headers,
        timestamp: Timestamp::NotAvailable,
        ..message(0, 15, Some(b"{}"))
    };

    let (mut at_once, mut later) = (OpenBatch::default(), OpenBatch::default());
    assert!(at_once.append(&record, 1) && later.append_written(&Written::new(&record, 1)));
    assert_eq!(event(&closed(at_once), &[0]), event(&closed(later), &[0]));
}

#[test]
fn an_event_of_some_records_holds_just_these() {
    let mut batch = OpenBatch::default();
    for (partition, offset) in [(0, 10), (1, 20), (0, 11), (1, 21), (0, 12), (1, 22)] {
        batch.append(&message(partition, offset, Some(b"x")), 1);
    }
    let batch = closed(batch);

    let offsets = |numbers: &[usize]| {
        let event = event(&batch, numbers);
        let of = |name: &str| {
            let records = event["records"][name]
                .as_array()
                .cloned()
                .unwrap_or_default();
            records
                .iter()
                .map(|record| record["offset"].as_i64().unwrap())
                .collect::<Vec<_>>()
        };
        (of("prices-0"), of("prices-1"))
    };

    assert_eq!(
        offsets(&[0, 1, 2, 3, 4, 5]),
        (vec![10, 11, 12], vec![20, 21, 22])
    );
    assert_eq!(offsets(&[0, 2, 5]), (vec![10, 12], vec![22]));
    assert_eq!(offsets(&[4]), (vec![], vec![21]));
    assert_eq!(batch.record(4).map(|(_, record)| record.offset), Some(21));
}

#[test]
fn a_batch_stays_within_the_largest_payload() {
    let value = vec![b'x'; 1024 * 1024];
    let mut batch = OpenBatch::default();
    let taken = (0..9)
        .take_while(|offset| batch.append(&message(0, *offset, Some(&value)), 1))
        .count();
    assert_eq!((taken, batch.len()), (4, 4));

    let batch = closed(batch);
    let numbers: Vec<usize> = (0..4).collect();
    assert!(batch.event(&head(), "prices", &numbers).len() <= LARGEST_PAYLOAD);
    assert_eq!(
        event(&batch, &numbers)["records"]["prices-0"]
            .as_array()
            .unwrap()
            .len(),
        4
    );
}

#[test]
fn a_record_too_large_for_any_payload_is_alone_in_its_batch() {
    let value = vec![b'x'; LARGEST_PAYLOAD];
    let mut batch = OpenBatch::default();
    assert!(batch.append(&message(0, 1, Some(&value)), 1));
    assert!(!batch.append(&message(1, 1, Some(b"x")), 1));
    assert_eq!((batch.len(), batch.partitions.len()), (1, 1));
}

#[test]
fn partitions_that_were_taken_away_leave_the_batch() {
    let mut batch = OpenBatch::default();
    batch.append(&message(0, 1, Some(b"x")), 1);
    batch.append(&message(1, 5, Some(b"x")), 2);
    batch.retain(|_, epoch| epoch == 2);
    assert_eq!(batch.len(), 1);

    let batch = closed(batch);
    assert_eq!(batch.partitions[0].offset_after(1), Some(6));
    assert_eq!(batch.partitions[0].offset_after(0), None);
}
