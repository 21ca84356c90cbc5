//! Decodes a batch and judges its records: price events on one side, records that can never become
//! points on the other.

use std::collections::BTreeMap;

use base64_simd::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use shared::market::{Timestamp, to_microseconds};
use shared::price_event::{PriceEvent, RecordCoordinates, Rejection};
use shared::repository::rejected_events::RejectedEvent;

use crate::event::{Base64, KafkaEvent, KafkaRecord};
use crate::failure::EventError;

/// The verdicts on a batch's records.
#[derive(Debug, Default)]
pub struct DecodedBatch {
    /// Records that are price events.
    pub events: Vec<PriceEvent>,
    /// Records that can never become points, for quarantine.
    pub rejected: Vec<RejectedEvent>,
}

/// Decodes and judges every record in the event's JSON; `now` is the time on the averager's own
/// clock.
///
/// # Errors
/// When the event itself cannot be read. A record with an invalid value is rejected instead.
pub fn decode(event: &[u8], now: Timestamp) -> Result<DecodedBatch, EventError> {
    let event = KafkaEvent::read(event)?;

    let mut batch = DecodedBatch::default();
    batch
        .events
        .reserve(event.records.values().map(Vec::len).sum());

    let mut buffer = Vec::new();
    for record in event.records.values().flatten() {
        match judge(record, now, &mut buffer)? {
            Ok(event) => batch.events.push(event),
            Err(rejection) => {
                batch
                    .rejected
                    .push(rejected(record, rejection.to_string(), &mut buffer)?);
            }
        }
    }

    Ok(batch)
}

/// Rejects the events whose indices in [`DecodedBatch::events`] are keys of `reasons`, each with
/// its reason.
///
/// It decodes the event's JSON again, so that [`decode`] need not keep the records of every batch.
/// `now` must be the time given to [`decode`]: indices count the records accepted at that time.
///
/// # Errors
/// When the event itself cannot be read.
pub(crate) fn set_aside(
    event: &[u8],
    now: Timestamp,
    reasons: &BTreeMap<usize, String>,
) -> Result<Vec<RejectedEvent>, EventError> {
    let event = KafkaEvent::read(event)?;
    let mut found = Vec::with_capacity(reasons.len());

    let (mut buffer, mut index) = (Vec::new(), 0);
    for record in event.records.values().flatten() {
        if judge(record, now, &mut buffer)?.is_err() {
            continue;
        }

        if let Some(reason) = reasons.get(&index) {
            found.push(rejected(record, reason.clone(), &mut buffer)?);
        }
        index += 1;
    }

    Ok(found)
}

/// Judges one record. Its value is decoded into `buffer`, which all records of a batch share.
fn judge(
    record: &KafkaRecord<'_>,
    now: Timestamp,
    buffer: &mut Vec<u8>,
) -> Result<Result<PriceEvent, Rejection>, EventError> {
    let value = bytes(record.value.as_ref(), buffer, record)?;
    let coordinates = RecordCoordinates {
        topic: &record.topic,
        partition: record.partition,
        offset: record.offset,
        timestamp: record_time(record.timestamp),
    };

    Ok(PriceEvent::decode(value, &coordinates, now))
}

/// The row for quarantine: the record as Kafka holds it, with the reason.
fn rejected(
    record: &KafkaRecord<'_>,
    reason: String,
    buffer: &mut Vec<u8>,
) -> Result<RejectedEvent, EventError> {
    Ok(RejectedEvent {
        topic: record.topic.to_string(),
        partition: record.partition,
        offset: record.offset,
        timestamp: time(record.timestamp),
        value: bytes(record.value.as_ref(), buffer, record)?.map(<[u8]>::to_vec),
        key: bytes(record.key.as_ref(), buffer, record)?.map(<[u8]>::to_vec),
        reason,
    })
}

/// Decodes a key or value of `record` into `buffer`.
fn bytes<'b>(
    base64: Option<&Base64<'_>>,
    buffer: &'b mut Vec<u8>,
    record: &KafkaRecord<'_>,
) -> Result<Option<&'b [u8]>, EventError> {
    let Some(text) = base64 else { return Ok(None) };

    buffer.clear();
    BASE64
        .decode_append(text.0.as_bytes(), buffer)
        .map_err(|_| EventError::NotBase64 {
            topic: record.topic.to_string(),
            partition: record.partition,
            offset: record.offset,
        })?;
    Ok(Some(buffer))
}

/// Kafka's timestamp of a record. Kafka uses -1 for a record without one, and brokers accept no
/// other negative timestamp.
fn record_time(milliseconds: i64) -> Option<Timestamp> {
    (milliseconds >= 0).then(|| time(milliseconds))
}

/// Kafka's milliseconds as a time that Postgres stores. A time outside the calendar becomes the
/// calendar's nearer end.
fn time(milliseconds: i64) -> Timestamp {
    let end = if milliseconds < 0 {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    };
    to_microseconds(DateTime::from_timestamp_millis(milliseconds).unwrap_or(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(event: &str) -> Result<DecodedBatch, EventError> {
        decode(event.as_bytes(), "2024-03-20T10:30:10Z".parse().unwrap())
    }

    fn event(records: &str) -> String {
        format!(
            r#"{{"eventSource":"aws:kafka","bootstrapServers":"b:9092","records":{{"price-events-0":[{records}]}}}}"#
        )
    }

    fn record(offset: i64, value: &str) -> String {
        let value = BASE64.encode_to_string(value);
        format!(
            r#"{{"topic":"price-events","partition":0,"offset":{offset},"timestamp":1710930605000,
                "timestampType":"CREATE_TIME","key":"QQ==","value":"{value}","headers":[{{"h":[-61]}}]}}"#
        )
    }

    const GOOD: &str =
        r#"{"symbol":"AAPL","price":150.25,"timestamp":"2024-03-20T10:30:00Z","source":"yahoo"}"#;

    #[test]
    fn good_records_become_events_and_bad_ones_are_set_aside_with_where_they_stood() {
        let batch = read(&event(&[record(7, GOOD), record(8, "nonsense")].join(","))).unwrap();

        assert_eq!(batch.events.len(), 1);
        assert_eq!(batch.events[0].symbol.as_str(), "AAPL");

        let rejected = &batch.rejected[0];
        assert_eq!(
            (rejected.topic.as_str(), rejected.partition, rejected.offset),
            ("price-events", 0, 8)
        );
        assert_eq!(rejected.key.as_deref(), Some(b"A".as_slice()));
        assert_eq!(rejected.value.as_deref(), Some(b"nonsense".as_slice()));
    }

    #[test]
    fn the_example_event_is_two_prices_and_a_reject() {
        let batch = read(include_str!("../../../events/averager-batch.json")).unwrap();
        assert_eq!((batch.events.len(), batch.rejected.len()), (2, 1));
        assert!(
            batch
                .events
                .iter()
                .all(|event| event.symbol.as_str() == "EXAMPLE")
        );
    }

    #[test]
    fn an_event_that_is_set_aside_keeps_where_it_stood_and_what_it_held() {
        let text = event(&[record(7, GOOD), record(8, "nonsense"), record(9, GOOD)].join(","));
        let now = "2024-03-20T10:30:10Z".parse().unwrap();

        let aside = set_aside(
            text.as_bytes(),
            now,
            &BTreeMap::from([(1, "refused".to_owned())]),
        )
        .unwrap();

        assert_eq!(aside.len(), 1);
        assert_eq!((aside[0].offset, aside[0].reason.as_str()), (9, "refused"));
        assert_eq!(aside[0].value.as_deref(), Some(GOOD.as_bytes()));
        assert_eq!(aside[0].key.as_deref(), Some(b"A".as_slice()));
    }

    #[test]
    fn a_record_without_a_timestamp_is_told_from_one_of_1970() {
        assert_eq!(record_time(-1), None);
        assert_eq!(record_time(0), Some(Timestamp::UNIX_EPOCH));

        assert_eq!(
            time(-1),
            Timestamp::UNIX_EPOCH - chrono::TimeDelta::milliseconds(1)
        );
        assert_eq!(
            (time(i64::MIN), record_time(i64::MIN)),
            (to_microseconds(Timestamp::MIN_UTC), None)
        );
        assert_eq!(
            record_time(i64::MAX),
            Some(to_microseconds(Timestamp::MAX_UTC))
        );
    }

    #[test]
    fn tombstones_missing_keys_and_impossible_times_are_judged_not_fatal() {
        let records = r#"{"topic":"t","partition":0,"offset":1,"timestamp":-1},
                         {"topic":"t","partition":0,"offset":2,"timestamp":9223372036854775807,"key":null,"value":null}"#;

        let batch = read(&event(records)).unwrap();

        assert_eq!(
            batch
                .rejected
                .iter()
                .map(|event| event.value.clone())
                .collect::<Vec<_>>(),
            [None, None]
        );
    }

    #[test]
    fn an_event_of_another_kind_is_an_error_that_says_so() {
        assert!(
            read(r#"{"Records":[]}"#)
                .unwrap_err()
                .to_string()
                .contains("not a Kafka batch")
        );
        assert!(read("[]").is_err());

        let broken = event(r#"{"topic":"t","partition":0,"offset":1,"timestamp":0,"value":"%%%"}"#);
        assert!(
            read(&broken)
                .unwrap_err()
                .to_string()
                .contains("t-0 at offset 1 is not base64")
        );
    }
}
