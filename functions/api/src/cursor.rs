//! Opaque cursors: the position of the next page, as two words in URL-safe Base64.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta};
use shared::market::{ProviderName, Timestamp};

/// Longest text that is read as a cursor, in bytes.
const MAX_LENGTH: usize = 700;

/// The fault of a text that is not a cursor of this list.
pub(crate) const NOT_A_CURSOR: &str = "must be the next_cursor of an answer of this list";

/// Encodes a position of two words; the first one must not contain a space.
pub(crate) fn encode(first: impl std::fmt::Display, second: impl std::fmt::Display) -> String {
    URL_SAFE_NO_PAD.encode(format!("{first} {second}"))
}

/// Decodes a position, whose two words `parse` reads.
pub(crate) fn decode<T>(
    text: &str,
    parse: impl FnOnce(&str, &str) -> Option<T>,
) -> Result<T, &'static str> {
    let read = || {
        let bytes = URL_SAFE_NO_PAD
            .decode(Some(text).filter(|text| text.len() <= MAX_LENGTH)?)
            .ok()?;
        let words = String::from_utf8(bytes).ok()?;
        let (first, second) = words.split_once(' ')?;
        parse(first, second)
    };

    read().ok_or(NOT_A_CURSOR)
}

/// Reads a time of a cursor: microseconds since 1970, within the years that Postgres stores.
pub(crate) fn time(word: &str) -> Option<Timestamp> {
    time_of(word.parse().ok()?)
}

/// The time so many microseconds after 1970, if it is within the years that Postgres stores.
pub(crate) fn time_of(micros: i64) -> Option<Timestamp> {
    DateTime::from_timestamp_micros(micros)
        .filter(|time| (-4_000..10_000).contains(&chrono::Datelike::year(time)))
}

/// Reads a cursor of a list that begins with the newest: a page ends before the last item of the
/// previous page, in the series of the same provider.
pub(crate) fn before(text: &str) -> Result<(Timestamp, ProviderName), &'static str> {
    decode(text, |before, provider| {
        Some((time(before)?, provider.parse().ok()?))
    })
}

/// The end of a range that excludes its end, so that it contains the point at `time`.
pub(crate) fn after(time: Timestamp) -> Timestamp {
    time + TimeDelta::microseconds(1)
}

/// Removes the item that was read beyond the page, and returns the cursor of the next page if there
/// was one.
pub(crate) fn page<T>(
    mut items: Vec<T>,
    limit: usize,
    cursor: impl FnOnce(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let more = items.len() > limit;
    items.truncate(limit);

    let next_cursor = if more { items.last().map(cursor) } else { None };
    (items, next_cursor)
}

/// The number of rows to read for a page: one more than `limit`, because that row shows that there
/// is a next page.
pub(crate) fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back() {
        let text = encode(-1_500_000, "replay");

        let position = decode(&text, |first, second| {
            Some((time(first)?, second.to_owned()))
        });

        let expected = "1969-12-31T23:59:58.500Z".parse().unwrap();
        assert_eq!(position, Ok((expected, "replay".to_owned())));
    }

    #[test]
    fn what_is_not_a_cursor_is_told_apart() {
        for text in [
            "",
            "abc",
            "%%%",
            "AAAA",
            &"A".repeat(4_000),
            &encode("soon", "x"),
            &encode(i64::MAX, "x"),
        ] {
            assert_eq!(
                decode(text, |first, _| time(first)),
                Err(NOT_A_CURSOR),
                "{text}"
            );
        }
    }

    #[test]
    fn only_a_full_page_with_more_behind_it_has_a_cursor() {
        let cursor = |item: &u32| item.to_string();

        assert_eq!(
            page(vec![1, 2, 3], 2, cursor),
            (vec![1, 2], Some("2".to_owned()))
        );
        assert_eq!(page(vec![1, 2], 2, cursor), (vec![1, 2], None));
    }
}
