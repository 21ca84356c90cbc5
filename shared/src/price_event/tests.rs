use super::*;

fn record() -> RecordCoordinates<'static> {
    let timestamp = "2024-03-20T10:30:05Z".parse().unwrap();
    RecordCoordinates {
        topic: "price-events",
        partition: 2,
        offset: 41,
        timestamp: Some(timestamp),
    }
}

/// The reader's clock: years later, as in a replay.
fn now() -> Timestamp {
    "2026-11-27T10:30:00Z".parse().unwrap()
}

fn decode(value: &str) -> Result<PriceEvent, Rejection> {
    PriceEvent::decode(Some(value.as_bytes()), &record(), now())
}

fn event_with(fields: &str) -> String {
    format!(r#"{{"symbol":"aapl","price":150.25,"timestamp":"2024-03-20T10:30:00Z",{fields}}}"#)
}

#[test]
fn an_event_reads_back_as_it_was_written() {
    let event = PriceEvent {
        id: Uuid::now_v7(),
        symbol: "AAPL".parse().unwrap(),
        price: "150.250000000000001".parse().unwrap(),
        currency: Some("GBp".parse().unwrap()),
        timestamp: "2024-03-20T10:30:00.000001Z".parse().unwrap(),
        provider: "yahoo".parse().unwrap(),
        polled_at: "2024-03-20T10:30:02.114Z".parse().unwrap(),
        raw_response_id: Some(Uuid::now_v7()),
    };

    let bytes = event.encode().unwrap();
    assert!(
        std::str::from_utf8(&bytes)
            .unwrap()
            .contains(r#""price":150.250000000000001,"#)
    );
    assert_eq!(
        PriceEvent::decode(Some(&bytes), &record(), now()),
        Ok(event)
    );
}

#[test]
fn a_foreign_event_needs_only_symbol_price_timestamp_and_source() {
    let event = decode(&event_with(r#""source":"YFinance","unknown":[1]"#)).unwrap();
    assert_eq!(
        (event.symbol.as_str(), event.provider.as_str()),
        ("aapl", "yahoo"),
        "in its own case"
    );
    assert_eq!(Some(event.polled_at), record().timestamp);
    assert_eq!((event.currency, event.raw_response_id), (None, None));
}

#[test]
fn an_absent_id_is_the_same_for_every_delivery_and_another_for_every_record() {
    let value = event_with(r#""source":"x""#);
    let id_at = |record| {
        PriceEvent::decode(Some(value.as_bytes()), &record, now())
            .unwrap()
            .id
    };
    assert_eq!(id_at(record()), id_at(record()));
    assert_ne!(
        id_at(record()),
        id_at(RecordCoordinates {
            offset: 42,
            ..record()
        })
    );

    let later = record()
        .timestamp
        .map(|time| time + TimeDelta::milliseconds(1));
    assert_ne!(
        id_at(record()),
        id_at(RecordCoordinates {
            timestamp: later,
            ..record()
        })
    );
}

#[test]
fn source_and_provider_must_agree_when_both_are_given() {
    assert!(decode(&event_with(r#""source":"yfinance","provider":"yahoo""#)).is_ok());
    assert_eq!(
        decode(&event_with(r#""source":"a","provider":"b""#)),
        Err(Rejection::TwoProviders)
    );
    assert_eq!(
        decode(&event_with(r#""currency":"USD""#)),
        Err(Rejection::NoProvider)
    );
}

#[test]
fn verdicts_on_times_are_taken_against_the_record_not_the_clock() {
    let at = |timestamp: &str, polled_at: &str| {
        decode(&format!(
            r#"{{"symbol":"A","price":1,"source":"x","timestamp":"{timestamp}","polled_at":"{polled_at}"}}"#
        ))
    };

    assert!(at("2024-03-21T10:30:05Z", "2024-03-20T10:35:05Z").is_ok());
    assert_eq!(
        at("2024-03-21T10:30:05.000001Z", "2024-03-20T10:30:05Z"),
        Err(Rejection::TimestampOutOfRange)
    );
    assert_eq!(
        at("1969-12-31T23:59:59Z", "2024-03-20T10:30:05Z"),
        Err(Rejection::TimestampOutOfRange)
    );
    assert_eq!(
        at("2024-03-20T10:30:00Z", "2024-03-20T10:35:05.000001Z"),
        Err(Rejection::PolledAtOutOfRange)
    );
}

#[test]
fn a_record_of_the_future_is_rejected_until_its_time_has_come() {
    let sent = "2024-03-20T10:30:05Z".parse::<Timestamp>().unwrap();
    let value = event_with(r#""source":"x""#);
    let read_at = |now| {
        PriceEvent::decode(Some(value.as_bytes()), &record(), now).map(|event| event.polled_at)
    };

    assert_eq!(
        read_at(sent - TimeDelta::minutes(50)),
        Err(Rejection::RecordAhead)
    );
    assert_eq!(
        read_at(sent - CLOCK_TOLERANCE - TimeDelta::microseconds(1)),
        Err(Rejection::RecordAhead)
    );
    assert_eq!(read_at(sent - CLOCK_TOLERANCE), Ok(sent));
    assert_eq!(read_at(sent + TimeDelta::hours(1)), Ok(sent));

    // A record just within the tolerance may not carry a poll time outside it.
    let value = event_with(r#""source":"x","polled_at":"2024-03-20T10:33:00Z""#);
    let read_at = |now| {
        PriceEvent::decode(Some(value.as_bytes()), &record(), now).map(|event| event.polled_at)
    };
    assert_eq!(
        read_at(sent - TimeDelta::minutes(4)),
        Err(Rejection::PolledAtAhead)
    );
    assert!(read_at(sent).is_ok());
}

#[test]
fn without_a_kafka_timestamp_polled_at_is_the_record_s_clock() {
    let timeless = RecordCoordinates {
        timestamp: None,
        ..record()
    };
    let read = |fields: &str| {
        PriceEvent::decode(
            Some(event_with(&format!(r#""source":"x"{fields}"#)).as_bytes()),
            &timeless,
            now(),
        )
    };

    assert_eq!(read(""), Err(Rejection::NoTime));
    assert_eq!(read(r#","polled_at":null"#), Err(Rejection::NoTime));

    let event = read(r#","polled_at":"2024-03-20T10:30:07Z""#).unwrap();
    assert_eq!(
        event.polled_at,
        "2024-03-20T10:30:07Z".parse::<Timestamp>().unwrap()
    );
    assert_eq!(
        event.id,
        read(r#","polled_at":"2024-03-20T10:30:07Z""#).unwrap().id
    );
    assert_eq!(
        read(r#","polled_at":"2024-03-19T10:29:59Z""#),
        Err(Rejection::TimestampOutOfRange)
    );
    assert_eq!(
        read(r#","polled_at":"2026-11-27T10:35:01Z""#),
        Err(Rejection::PolledAtAhead)
    );
    assert_eq!(
        read(r#","polled_at":"1969-12-31T23:59:59Z""#),
        Err(Rejection::PolledAtOutOfRange)
    );
}

#[test]
fn a_kafka_timestamp_of_0_is_1970() {
    let first = RecordCoordinates {
        timestamp: Some(Timestamp::UNIX_EPOCH),
        ..record()
    };
    let value = event_with(r#""source":"x""#);
    let read = PriceEvent::decode(Some(value.as_bytes()), &first, now());
    assert_eq!(read, Err(Rejection::TimestampOutOfRange));
}

#[test]
fn a_leap_second_is_the_second_after_it() {
    let leap =
        decode(r#"{"symbol":"A","price":1,"timestamp":"2024-03-20T10:29:60Z","source":"x"}"#)
            .unwrap();
    assert_eq!(
        leap.timestamp,
        "2024-03-20T10:30:00Z".parse::<Timestamp>().unwrap()
    );
}

#[test]
fn what_can_never_be_right_is_rejected_with_its_reason() {
    assert_eq!(
        PriceEvent::decode(None, &record(), now()),
        Err(Rejection::NoValue)
    );
    for value in [
        "",
        "nonsense",
        "[]",
        "\u{feff}{}",
        r#"{"price":1,"timestamp":"2024-03-20T10:30:00Z","source":"x"}"#,
        r#"{"symbol":"A","price":1,"timestamp":"2024-03-20T10:30:00","source":"x"}"#,
        r#"{"symbol":"A","price":1,"timestamp":1710930600,"source":"x"}"#,
        r#"{"symbol":"A","price":NaN,"timestamp":"2024-03-20T10:30:00Z","source":"x"}"#,
        r#"{"symbol":"A","price":1,"price":2,"timestamp":"2024-03-20T10:30:00Z","source":"x"}"#,
    ] {
        assert!(
            matches!(decode(value), Err(Rejection::Malformed(_))),
            "{value}"
        );
    }

    assert!(matches!(
        PriceEvent::decode(Some(b"\xff\xfe"), &record(), now()),
        Err(Rejection::Malformed(_))
    ));
    for price in ["\"150.25\"", "null", "0", "-3", "1e99"] {
        let value = format!(
            r#"{{"symbol":"A","price":{price},"timestamp":"2024-03-20T10:30:00Z","source":"x"}}"#
        );
        assert!(
            matches!(decode(&value), Err(Rejection::Price(_))),
            "{price}"
        );
    }
    let spaced = r#"{"symbol":"A B","price":1,"timestamp":"2024-03-20T10:30:00Z","source":"x"}"#;
    assert!(matches!(
        decode(spaced),
        Err(Rejection::Name {
            field: "symbol",
            ..
        })
    ));
}

#[test]
fn the_first_moment_of_1970_is_a_time_to_quote_and_to_poll() {
    let first = r#"{"symbol":"A","price":1,"source":"x","timestamp":"1970-01-01T00:00:00Z","polled_at":"1970-01-01T00:00:00Z"}"#;
    let record = RecordCoordinates {
        timestamp: Some(DateTime::UNIX_EPOCH),
        ..record()
    };
    let event = PriceEvent::decode(Some(first.as_bytes()), &record, now()).unwrap();
    assert_eq!(
        (event.timestamp, event.polled_at),
        (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH)
    );
}

#[test]
fn a_record_without_a_time_has_an_id_of_its_own() {
    let event = r#"{"symbol":"A","price":1,"source":"x","timestamp":"1970-01-01T00:00:00Z","polled_at":"1970-01-01T00:00:00Z"}"#;
    let id_at = |timestamp| {
        let record = RecordCoordinates {
            timestamp,
            ..record()
        };
        PriceEvent::decode(Some(event.as_bytes()), &record, now())
            .unwrap()
            .id
    };

    let timed = |milliseconds| id_at(DateTime::from_timestamp_millis(milliseconds));
    assert!(![timed(0), timed(1)].contains(&id_at(None)));
}
