//! Ranges of bytes (RFC 9110, section 14).

use std::ops::Range;

/// What of a representation a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it. A server may ignore the header, and must where it is malformed; we do too where
    /// it has several ranges, or another unit than bytes.
    Everything,
    /// These bytes, at least one.
    Part(Range<usize>),
    /// Only bytes that do not exist.
    Nothing,
}

impl Wanted {
    /// What the header's value asks for of a representation of `size` bytes.
    pub(super) fn of(value: &str, size: usize) -> Self {
        let Some((first, last)) = bounds(value) else {
            return Self::Everything;
        };

        let part = match (first, last) {
            (Some(first), Some(last)) if last < first => return Self::Everything,
            (Some(first), last) => {
                first..last.map_or(size, |last| last.saturating_add(1)).min(size)
            }
            (None, Some(suffix)) => size.saturating_sub(suffix)..size,
            (None, None) => return Self::Everything,
        };

        if part.is_empty() {
            Self::Nothing
        } else {
            Self::Part(part)
        }
    }
}

/// The first and the last position of a single range of bytes; `None` if the value is not one.
fn bounds(value: &str) -> Option<(Option<usize>, Option<usize>)> {
    let (unit, range) = value.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }

    let (first, last) = range.trim().split_once('-')?;
    Some((position(first)?, position(last)?))
}

/// A position, or `Some(None)` where there is none. A position too large to count is beyond any
/// representation.
fn position(text: &str) -> Option<Option<usize>> {
    let text = text.trim();
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }

    Some((!text.is_empty()).then(|| text.parse().unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_range_is_cut_at_the_end() {
        for (value, part) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-", 0..10),
            ("bytes=3-5", 3..6),
            ("Bytes = 3-5", 3..6),
            ("bytes=9-9", 9..10),
            ("bytes=5-100", 5..10),
            ("bytes=5-99999999999999999999999", 5..10),
            ("bytes=-3", 7..10),
            ("bytes=-100", 0..10),
        ] {
            assert_eq!(Wanted::of(value, 10), Wanted::Part(part), "{value}");
        }
    }

    #[test]
    fn bytes_beyond_the_end_are_none() {
        for value in [
            "bytes=10-",
            "bytes=10-20",
            "bytes=99999999999999999999999-",
            "bytes=-0",
        ] {
            assert_eq!(Wanted::of(value, 10), Wanted::Nothing, "{value}");
        }

        assert_eq!(Wanted::of("bytes=0-", 0), Wanted::Nothing);
        assert_eq!(Wanted::of("bytes=-5", 0), Wanted::Nothing);
    }

    #[test]
    fn anything_else_is_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-3",
            "bytes=a-b",
            "bytes=1-2,4-5",
            "bytes=+1-2",
            "rows=0-5",
            "bytes=1",
            "bytes=1-2-3",
            "0-5",
        ] {
            assert_eq!(Wanted::of(value, 10), Wanted::Everything, "{value}");
        }
    }
}
