//! The cursor of changes: a position as bytes in URL-safe Base64.
//!
//! Numbers are variable-length (LEB128), because a position of many series has to fit into a URL.
//! The first bytes are a hash of the others: they tell a cursor from any other text.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use shared::market::Timestamp;
use shared::repository::changes::{MAX_SERIES, Position, SeriesPosition};

use crate::cursor;

/// Longest text that is read as a cursor, in bytes: the longest that is written is shorter.
pub(crate) const MAX_LENGTH: usize = 8_000;
/// The fault of a text that is not a cursor.
const NOT_A_CURSOR: &str = "must be now, or the next_cursor of an answer of this list";
/// The number of bytes of the hash.
const HASH: usize = 4;
/// The form of the bytes. Another form gets another number.
const FORM: u8 = 1;

/// Encodes a position.
pub(super) fn encode(position: &Position) -> String {
    let mut bytes = vec![FORM];
    put(&mut bytes, position.epochs.len() as u64);
    for (shard, epoch) in &position.epochs {
        put(&mut bytes, u64::from(shard.unsigned_abs()));
        bytes.extend_from_slice(&epoch.to_be_bytes());
    }

    put(&mut bytes, position.series.len() as u64);
    for (series_id, series) in &position.series {
        put(&mut bytes, u64::from(series_id.unsigned_abs()));
        put_signed(&mut bytes, series.newest.timestamp_micros());
        put(&mut bytes, series.version.unsigned_abs());
        put(&mut bytes, u64::from(series.within.is_some()));
        if let Some(within) = series.within {
            put_signed(&mut bytes, within.timestamp_micros());
        }
    }

    let hash = hash(&bytes);
    URL_SAFE_NO_PAD.encode([&hash[..], &bytes].concat())
}

/// Decodes a position.
pub(super) fn decode(text: &str) -> Result<Position, &'static str> {
    let read = || {
        let text = Some(text).filter(|text| text.len() <= MAX_LENGTH)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (sum, bytes) = bytes.split_at_checked(HASH)?;

        let mut reader = Reader(bytes);
        let is_ours = sum == hash(bytes) && reader.byte()? == FORM;
        is_ours.then(|| reader.position())?
    };
    read().ok_or(NOT_A_CURSOR)
}

fn hash(bytes: &[u8]) -> [u8; HASH] {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let [a, b, c, d, ..] = digest;
    [a, b, c, d]
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// Writes a number with its sign in the lowest bit, so that small negative ones are short too.
fn put_signed(bytes: &mut Vec<u8>, number: i64) {
    put(bytes, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

/// The bytes that are left to read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn position(&mut self) -> Option<Position> {
        let mut position = Position::default();
        for _ in 0..self.count()? {
            let shard = self.id()?;
            let epoch = self.0.split_off(..4)?.try_into().ok()?;
            position.epochs.insert(shard, u32::from_be_bytes(epoch));
        }

        for _ in 0..self.count()? {
            let series_id = self.id()?;
            let series = SeriesPosition {
                newest: self.time()?,
                version: self.number()?.try_into().ok()?,
                within: match self.number()? {
                    0 => None,
                    _ => Some(self.time()?),
                },
            };
            position.series.insert(series_id, series);
        }

        self.0.is_empty().then_some(position)
    }

    /// A number of items, of which there are at most as many as a position has series.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        Some(count).filter(|count| *count <= MAX_SERIES)
    }

    fn id(&mut self) -> Option<i32> {
        self.number()?.try_into().ok()
    }

    fn time(&mut self) -> Option<Timestamp> {
        let number = self.number()?;
        let micros = (number >> 1).cast_signed() ^ -(number & 1).cast_signed();
        cursor::time_of(micros)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        self.0.split_off_first().copied()
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn at(micros: i64) -> Timestamp {
        DateTime::from_timestamp_micros(micros).unwrap()
    }

    fn position(series: i32) -> Position {
        let at = |id: i32| SeriesPosition {
            newest: at(1_700_000_000_123_456 - i64::from(id) * 86_400_000_000_000),
            version: i64::from(id) * 1_000_003,
            within: (id % 3 == 0).then(|| at(-i64::from(id))),
        };
        Position {
            epochs: (0..48_i32)
                .map(|shard| (shard, u32::MAX - shard.unsigned_abs()))
                .collect(),
            series: (1..=series).map(|id| (id * 10_007, at(id))).collect(),
        }
    }

    #[test]
    fn a_position_reads_back_and_the_longest_one_fits_into_a_url() {
        for series in [0, 1, 7, 200] {
            let text = encode(&position(series));
            assert!(text.len() < MAX_LENGTH, "{}", text.len());
            assert_eq!(decode(&text), Ok(position(series)));
        }
    }

    #[test]
    fn a_forged_cursor_is_refused_if_postgres_could_not_store_its_times() {
        let mut forged = position(1);
        for series in forged.series.values_mut() {
            series.newest = Timestamp::MAX_UTC;
        }
        assert_eq!(decode(&encode(&forged)), Err(NOT_A_CURSOR));
    }

    #[test]
    fn any_other_text_is_refused() {
        let text = encode(&position(2));
        let (first, rest) = text.split_at(1);
        let changed = format!("{}{rest}", if first == "A" { "B" } else { "A" });
        let longer = format!("{text}AAAA");
        for text in [
            "",
            "AAAA",
            "%%%",
            &changed,
            &longer,
            &text[..20],
            &"A".repeat(9_000),
        ] {
            assert_eq!(decode(text), Err(NOT_A_CURSOR), "{text}");
        }
    }
}
