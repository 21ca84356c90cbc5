use rdkafka::Timestamp;

use super::super::batch::EventHead;
use super::super::open_batch::OpenBatch;
use super::super::received::Received;
use super::*;

fn failed(answer: &str) -> Option<Vec<usize>> {
    let mut batch = OpenBatch::default();
    for (partition, offset) in [(0, 10), (0, 12), (1, 10), (1, 11)] {
        let timestamp = Timestamp::NotAvailable;
        let (topic, key, value, headers) = ("prices", None, None, Vec::new());
        batch.append(
            &Received {
                topic,
                partition,
                offset,
                timestamp,
                key,
                value,
                headers,
                read_at: 0,
            },
            1,
        );
    }

    let batch = batch.close(&EventHead::new("arn", "127.0.0.1:9092"), "prices");
    failures(answer.as_bytes(), &batch, "prices", &[0, 1, 2])
}

#[test]
fn an_answer_that_names_none_is_success() {
    for answer in [
        "",
        "null",
        "{}",
        r#"{"batchItemFailures":null}"#,
        r#"{"batchItemFailures":[]}"#,
    ] {
        assert_eq!(failed(answer), Some(vec![]), "{answer}");
    }
}

#[test]
fn named_records_have_failed_whichever_name_their_partition_has() {
    let answer = r#"{"batchItemFailures":[{"itemIdentifier":{"partition":"prices-1","offset":10}},
            {"itemIdentifier":{"topic-partition":"prices-0","offset":12}},
            {"itemIdentifier":{"partition":"prices-0","offset":12}}]}"#;
    assert_eq!(failed(answer), Some(vec![1, 2]));
}

#[test]
fn an_answer_that_cannot_be_read_or_names_what_was_not_sent_fails_the_batch() {
    let item = |partition: &str, offset: i64| {
        format!(
            r#"{{"batchItemFailures":[{{"itemIdentifier":{{"partition":"{partition}","offset":{offset}}}}}]}}"#
        )
    };

    let answers = [
        item("prices-0", 11),
        item("prices-1", 11),
        item("prices-7", 10),
        "[]".to_owned(),
        r#"{"batchItemFailures":[{}]}"#.to_owned(),
        "nonsense".to_owned(),
    ];

    for answer in answers {
        assert_eq!(failed(&answer), None, "{answer}");
    }
}
