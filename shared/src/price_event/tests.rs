use super::*;

fn record() -> RecordCoordinates<'static> {
    let timestamp = "2024-03-20T10:30:05Z".parse().unwrap();
    RecordCoordinates { topic: "price-events", partition: 2, offset: 41, timestamp }
}

fn decode(value: &str) -> Result<PriceEvent, Rejection> {
    PriceEvent::decode(Some(value.as_bytes()), &record())
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
    assert!(std::str::from_utf8(&bytes).unwrap().contains(r#""price":150.250000000000001,"#));
    assert_eq!(PriceEvent::decode(Some(&bytes), &record()), Ok(event));
}

#[test]
fn a_foreign_event_needs_only_symbol_price_timestamp_and_source() {
    let event = decode(&event_with(r#""source":"YFinance","unknown":[1]"#)).unwrap();
    assert_eq!((event.symbol.as_str(), event.provider.as_str()), ("AAPL", "yahoo"));
    assert_eq!(event.polled_at, record().timestamp);
    assert_eq!((event.currency, event.raw_response_id), (None, None));
}

#[test]
fn an_absent_id_is_the_same_for_every_delivery_and_another_for_every_record() {
    let value = event_with(r#""source":"x""#);
    let id_at = |record| PriceEvent::decode(Some(value.as_bytes()), &record).unwrap().id;
    assert_eq!(id_at(record()), id_at(record()));
    assert_ne!(id_at(record()), id_at(RecordCoordinates { offset: 42, ..record() }));
    let later = record().timestamp + TimeDelta::milliseconds(1);
    assert_ne!(id_at(record()), id_at(RecordCoordinates { timestamp: later, ..record() }));
}

#[test]
fn source_and_provider_must_agree_when_both_are_given() {
    assert!(decode(&event_with(r#""source":"yfinance","provider":"yahoo""#)).is_ok());
    assert_eq!(decode(&event_with(r#""source":"a","provider":"b""#)), Err(Rejection::TwoProviders));
    assert_eq!(decode(&event_with(r#""currency":"USD""#)), Err(Rejection::NoProvider));
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
    assert_eq!(at("1969-12-31T23:59:59Z", "2024-03-20T10:30:05Z"), Err(Rejection::TimestampOutOfRange));
    assert_eq!(at("2024-03-20T10:30:00Z", "2024-03-20T10:35:05.000001Z"), Err(Rejection::PolledAtOutOfRange));
}

#[test]
fn what_can_never_be_right_is_rejected_with_its_reason() {
    assert_eq!(PriceEvent::decode(None, &record()), Err(Rejection::NoValue));
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
        assert!(matches!(decode(value), Err(Rejection::Malformed(_))), "{value}");
    }
    assert!(matches!(PriceEvent::decode(Some(b"\xff\xfe"), &record()), Err(Rejection::Malformed(_))));
    for price in ["\"150.25\"", "null", "0", "-3", "1e99"] {
        let value =
            format!(r#"{{"symbol":"A","price":{price},"timestamp":"2024-03-20T10:30:00Z","source":"x"}}"#);
        assert!(matches!(decode(&value), Err(Rejection::Price(_))), "{price}");
    }
    let spaced = r#"{"symbol":"A B","price":1,"timestamp":"2024-03-20T10:30:00Z","source":"x"}"#;
    assert!(matches!(decode(spaced), Err(Rejection::Name { field: "symbol", .. })));
}
