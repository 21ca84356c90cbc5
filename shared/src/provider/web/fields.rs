//! Reads the fields of an entry, each by itself: a field of another type than the documented one
//! costs no other field.

use std::borrow::Cow;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::value::RawValue;

use super::Fault;
use crate::market::{Currency, Symbol, Timestamp, to_microseconds};
use crate::price::Price;

/// How far ahead of our clock a quote's time may be. A later one cannot be the time of a trade.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// A field that may be missing or of any type.
pub(in crate::provider) type Field<'a> = Option<&'a RawValue>;

/// The price in a number, or in a text that holds nothing but a number. It is parsed from its
/// digits as they were received, without a conversion to a float.
pub(in crate::provider) fn price(field: Field<'_>) -> Result<Price, Fault> {
    let no_price = |reason: String| Fault::NoPrice(reason);
    let text = match field.map(RawValue::get) {
        None | Some("null") => return Err(no_price("it has none".to_owned())),
        Some(text) => text,
    };

    let digits = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    digits
        .parse()
        .map_err(|error| no_price(format!("its price {error}")))
}

/// A text without a null.
pub(in crate::provider) fn text(field: Field<'_>) -> Option<Cow<'_, str>> {
    serde_json::from_str(field?.get()).ok()
}

/// The symbol in a text, in upper case.
pub(in crate::provider) fn symbol(field: Field<'_>) -> Option<Symbol> {
    Some(text(field)?.parse::<Symbol>().ok()?.to_upper_case())
}

/// Whether an entry's own symbol is there and is not `name`, in upper or lower case.
pub(in crate::provider) fn names_another(own: Field<'_>, name: &str) -> bool {
    let is_it = |own: Cow<'_, str>| own.eq_ignore_ascii_case(name);
    own.is_some() && !text(own).is_some_and(is_it)
}

/// The unit in a text.
pub(in crate::provider) fn currency(field: Field<'_>) -> Option<Currency> {
    text(field)?.parse().ok()
}

/// A whole number, as a number or as a text.
pub(in crate::provider) fn whole(field: Field<'_>) -> Option<i64> {
    field?.get().trim_matches('"').parse().ok()
}

/// The time in a number of seconds since 1970.
pub(in crate::provider) fn seconds(field: Field<'_>) -> Option<Timestamp> {
    DateTime::from_timestamp(whole(field)?, 0)
}

/// The time in a text such as `2026-01-05T10:32:00.5-05:00`.
pub(in crate::provider) fn rfc3339(field: Field<'_>) -> Option<Timestamp> {
    let time = DateTime::parse_from_rfc3339(&text(field)?).ok()?;
    Some(time.with_timezone(&Utc))
}

/// `time` if it can be the time of a trade: after 1970, and not in the future of `received_at` by
/// more than [`CLOCK_TOLERANCE`].
pub(in crate::provider) fn market_time(
    time: Option<Timestamp>,
    received_at: Timestamp,
) -> Result<Timestamp, Fault> {
    let plausible =
        |time: &Timestamp| *time > DateTime::UNIX_EPOCH && *time <= received_at + CLOCK_TOLERANCE;

    time.map(to_microseconds)
        .filter(plausible)
        .ok_or_else(|| Fault::NoPrice("its market time is not in the past".to_owned()))
}
