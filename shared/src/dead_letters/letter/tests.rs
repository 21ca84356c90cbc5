use chrono::Utc;

use super::*;
use crate::price_event::PriceEvent;

const BARE: &str = r#"{"symbol":"AAPL","price":150.250,"timestamp":"2024-03-20T10:30:00Z","source":"yahoo","note":1}"#;
const WHOLE: &str = r#"{"id":"7f3c1c0e-8f0a-4a52-9c4f-0f6a3c2b1d00","symbol":"AAPL","price":150.250,
    "timestamp":"2024-03-20T10:30:00Z","source":"yahoo","polled_at":"2024-03-20T10:30:02Z"}"#;

fn envelope(value: &str) -> String {
    format!(
        r#"{{"requestContext":{{"requestId":"r","functionArn":"a","condition":"RetriesExhausted",
            "approximateInvokeCount":3}},"responseContext":{{"statusCode":200,"functionError":"Unhandled"}},
            "version":"1.0","timestamp":"2024-03-20T11:00:00.000Z","KafkaBatchInfo":{{"batchSize":1}},
            "payload":{{"eventSource":"aws:kafka","records":{{"price-events-3":[{{"topic":"price-events",
            "partition":3,"offset":41,"timestamp":1710930605000,"timestampType":"CREATE_TIME","key":"QUFQTA==",
            "value":{value},"headers":[]}}]}}}}}}"#
    )
}

fn letter(value: &str) -> Letter {
    Letter::read(envelope(&format!("\"{}\"", STANDARD.encode(value))).as_bytes()).unwrap()
}

#[test]
fn an_envelope_gives_the_record_and_why_it_was_given_up() {
    let letter = letter(BARE);

    assert_eq!(
        (letter.topic.as_str(), letter.partition, letter.offset),
        ("price-events", 3, 41)
    );
    assert_eq!(letter.key.as_deref(), Some(b"AAPL".as_slice()));
    assert!(letter.has_reason("retriesexhausted") && letter.has_reason("Unhandled"));
    assert!(!letter.has_reason("RecordAgeExceeded"));
}

#[test]
fn an_absent_identity_is_filled_in_as_the_averager_would_have_derived_it() {
    let letter = letter(BARE);
    let original = RecordCoordinates {
        topic: "price-events",
        partition: 3,
        offset: 41,
        timestamp: DateTime::from_timestamp_millis(1_710_930_605_000),
    };
    let elsewhere = RecordCoordinates {
        topic: "price-events",
        partition: 3,
        offset: 99,
        timestamp: DateTime::from_timestamp_millis(1_710_999_999_000),
    };

    let sent = letter.value_to_send();

    let first = PriceEvent::decode(Some(BARE.as_bytes()), &original, Utc::now()).unwrap();
    assert_eq!(
        PriceEvent::decode(Some(&sent), &elsewhere, Utc::now()).unwrap(),
        first
    );
}

#[test]
fn a_header_tells_how_often_a_letter_was_sent_back() {
    let text = envelope(&format!("\"{}\"", STANDARD.encode(BARE)));
    for (headers, expected) in [
        ("[]", 0),
        (r#"[{"redriven":[50]}]"#, 2),
        (r#"[{"other":[-61,1]},{"redriven":[51]}]"#, 3),
        (r#"[{"redriven":[50,50]}]"#, 0),
        (r#"[{"redriven":[-50]}]"#, 0),
    ] {
        let text = text.replace(r#""headers":[]"#, &format!(r#""headers":{headers}"#));
        assert_eq!(
            Letter::read(text.as_bytes()).unwrap().redriven,
            expected,
            "{headers}"
        );
    }
}

#[test]
fn a_value_with_its_identity_or_one_that_does_not_parse_is_sent_byte_for_byte() {
    for value in [
        WHOLE,
        "nonsense",
        "{\"symbol\":",
        r#"{"symbol":"AAPL","price":-1}"#,
    ] {
        assert_eq!(*letter(value).value_to_send(), *value.as_bytes(), "{value}");
    }
}

#[test]
fn a_letter_without_value_or_of_another_kind_cannot_be_sent() {
    assert_eq!(
        Letter::read(envelope("null").as_bytes()),
        Err(Unsendable::NoValue)
    );
    for other in ["", "{}", "null", BARE, &envelope("\"%%%\"")] {
        assert_eq!(
            Letter::read(other.as_bytes()),
            Err(Unsendable::NotALetter),
            "{other}"
        );
    }
}
