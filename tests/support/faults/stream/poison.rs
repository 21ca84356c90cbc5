//! Records that can never be valid.

use chrono::{TimeDelta, Utc};

use super::{Fate, Record, Stream, text};

/// A field, and what replaces its value; `None` removes the field.
type Change = (&'static str, Option<&'static str>);

/// A good event with one field changed.
const CHANGES: [Change; 37] = [
    ("symbol", None),
    ("symbol", Some("null")),
    ("symbol", Some("7")),
    ("symbol", Some(r#""""#)),
    ("symbol", Some(r#""A B""#)),
    ("symbol", Some(r#""A\u0000""#)),
    ("symbol", Some(r#""Ä""#)),
    ("symbol", Some(r#""ABCDEFGHIJKLMNOPQRSTUVWXYZ1234567""#)),
    ("symbol", Some(r#""S1","symbol":"S2""#)),
    // A valid event, but Postgres refuses it: see `REFUSED`.
    ("symbol", Some(r#""REFUSED""#)),
    ("price", None),
    ("price", Some("null")),
    ("price", Some(r#""1.5""#)),
    ("price", Some("0")),
    ("price", Some("-1.5")),
    ("price", Some("0.000000000000000000001")),
    ("price", Some("100000000000")),
    ("price", Some("1e999999999999")),
    ("price", Some("1e2147483647")),
    ("price", Some("NaN")),
    ("price", Some("01")),
    ("price", Some("[1]")),
    ("timestamp", None),
    ("timestamp", Some(r#""2024-03-20T10:30:00""#)),
    ("timestamp", Some(r#""yesterday""#)),
    ("timestamp", Some("1710930600")),
    ("timestamp", Some(r#""1969-12-31T23:59:59Z""#)),
    ("timestamp", Some(r#""9999-12-31T23:59:59Z""#)),
    ("source", None),
    ("source", Some(r#""""#)),
    ("source", Some(r#""made","provider":"other""#)),
    ("id", Some(r#""no uuid""#)),
    ("id", Some(r#""\u0000""#)),
    ("id", Some(r#""\u0000e5b5c5b-cb1f-4ac0-a2b8-5a2d2e4c6f8a""#)),
    ("currency", Some(r#""U\u0000""#)),
    ("polled_at", Some(r#""9999-12-31T23:59:59Z""#)),
    ("raw_response_id", Some("{}")),
];

/// Values that are no event at all.
const VALUES: [&[u8]; 9] = [
    b"",
    b"nonsense",
    b"null",
    b"[]",
    b"{}",
    b"\xff\xfe\x00",
    b"\0",
    b"{\"symbol\":\"S1\",\"price\":1.5,",
    b"{\"symbol\":\"S1\",\"price\":1.5,\"timestamp\":\"2024-03-20T10:30:00Z\",\"source\":\"\xc3\"}",
];

impl Stream {
    /// A record of a random kind of poison.
    pub(super) fn poison(&mut self) -> Record {
        let kinds = CHANGES.len() + VALUES.len() + 3;
        let kind = rand::Rng::random_range(&mut self.random, 0..kinds);

        let (value, timestamp) = match kind.checked_sub(CHANGES.len()) {
            None => (Some(spoiled(CHANGES[kind])), None),
            Some(0) => (None, None),
            // Valid in itself, but more than a day ahead of its record's time.
            Some(1) => (Some(spoiled(("currency", None))), Some(1)),
            // Nested deeper than any parser should follow.
            Some(2) => (Some(nested()), None),
            Some(other) => (Some(VALUES[other - 3].to_vec()), None),
        };

        Record {
            key: Some("S1".to_owned()),
            value,
            timestamp,
            fate: Fate::Rejected,
        }
    }
}

/// A good event except for one field.
fn spoiled((field, value): Change) -> Vec<u8> {
    let quoted = format!("\"{}\"", text(Utc::now() - TimeDelta::hours(1)));
    let good = [
        ("symbol", "\"S1\""),
        ("price", "1.5"),
        ("timestamp", &quoted),
        ("source", "\"made\""),
    ];

    let kept = good.iter().filter(|(name, _)| *name != field).copied();
    let fields: Vec<String> = kept
        .chain(value.map(|value| (field, value)))
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();

    format!("{{{}}}", fields.join(",")).into_bytes()
}

fn nested() -> Vec<u8> {
    let (open, close) = ("[".repeat(10_000), "]".repeat(10_000));
    format!("{{\"more\":{open}{close},\"price\":{open}{close}}}").into_bytes()
}
