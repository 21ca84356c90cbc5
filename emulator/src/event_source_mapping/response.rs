//! The function's answer, which may name the records that failed.

use std::collections::HashMap;

use serde::Deserialize;

use super::batch::Batch;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    batch_item_failures: Option<Vec<Failure>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    item_identifier: ItemIdentifier,
}

#[derive(Debug, Deserialize)]
struct ItemIdentifier {
    /// As `prices-0`. An older version of AWS's documentation has the other name.
    #[serde(alias = "topic-partition")]
    partition: String,
    offset: i64,
}

/// Returns the numbers of the failed records, ascending. Returns `None` if the answer cannot be
/// read or names a record that was not sent. AWS treats the whole batch as failed then.
pub(super) fn failures(
    answer: &[u8],
    batch: &Batch,
    topic: &str,
    sent: &[usize],
) -> Option<Vec<usize>> {
    let response = match answer {
        b"" => Response::default(),
        answer => serde_json::from_slice::<Option<Response>>(answer)
            .ok()?
            .unwrap_or_default(),
    };

    let named = response.batch_item_failures.unwrap_or_default();
    if named.is_empty() {
        return Some(Vec::new());
    }

    let by_name = batch
        .ranges()
        .map(|(records, range)| (format!("{topic}-{}", records.partition), range));
    let ranges: HashMap<String, _> = by_name.collect();

    let number_of = |item: &ItemIdentifier| {
        let range = ranges.get(&item.partition)?;
        let (records, _) = batch.record(range.start)?;
        let place = records
            .records
            .binary_search_by_key(&item.offset, |record| record.offset)
            .ok()?;

        let number = range.start + place;
        sent.binary_search(&number).ok().map(|_| number)
    };

    let mut failed = named
        .iter()
        .map(|failure| number_of(&failure.item_identifier))
        .collect::<Option<Vec<_>>>()?;
    failed.sort_unstable();
    failed.dedup();
    Some(failed)
}

#[cfg(test)]
mod tests {
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
}
