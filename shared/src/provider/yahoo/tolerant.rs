//! Keeps an answer readable if some of its entries are not JSON, such as one with a bare `NaN`.
//!
//! Each of those becomes `null`, and the rest is unchanged. The result is then read as strictly as
//! any answer, so an entry counts only if it is a whole entry of the document, from its first byte
//! to its last. The content of an entry is never read as an entry.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// The replacement of an entry that is not JSON.
const UNREADABLE: &str = "null";
/// Most places of one answer at which the search for a sound entry inside a broken one is tried.
/// Each try may read the rest of the answer.
const MAX_TRIES: usize = 100;

/// A body as text that Postgres can store: U+FFFD replaces bytes that are not UTF-8, and NUL.
///
/// In a string that we do not read, such a byte does no harm. In any other place it makes the entry
/// unreadable.
pub(super) fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).replace('\0', "\u{fffd}")
}

/// The body, with `null` for each entry that is not JSON.
pub(super) fn readable(body: &str) -> Cow<'_, str> {
    if is_json(body) {
        return Cow::Borrowed(body);
    }

    without_unreadable_entries(body).map_or(Cow::Borrowed(body), Cow::Owned)
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Replaces the unreadable entries. The list of entries has the first `[` and the last `]` of an
/// answer.
fn without_unreadable_entries(body: &str) -> Option<String> {
    let (head, rest) = body.split_once('[')?;
    let (list, tail) = rest.rsplit_once(']')?;

    let entries = entries(list).join(",");
    Some(format!("{head}[{entries}]{tail}"))
}

/// The entries of a list, with [`UNREADABLE`] for each that is not JSON.
///
/// An entry that is not JSON ends where its brackets end. They may mislead: after a missing quote,
/// strings are read as structure and the reverse, up to the end of a later entry. So the list
/// continues inside such an entry, at the first place where the rest of the list is sound.
fn entries(list: &str) -> Vec<&str> {
    let mut entries = Vec::new();
    let mut rest = Some(list);
    let mut tries = MAX_TRIES;

    while let Some(list) = rest {
        let first = First::of(list);
        if let First::Json { entry, next } = first {
            entries.push(entry);
            rest = next;
        } else {
            entries.push(UNREADABLE);
            rest = first.sound_start(list, &mut tries).or(first.next());
        }
    }

    entries
}

/// The first entry of a list, and the list after it.
#[derive(Clone, Copy)]
enum First<'a> {
    /// It is JSON.
    Json {
        entry: &'a str,
        next: Option<&'a str>,
    },
    /// It is not JSON, but its brackets delimit one object.
    Bracketed {
        entry: &'a str,
        next: Option<&'a str>,
    },
    /// Its end cannot be determined.
    Endless,
}

impl<'a> First<'a> {
    fn of(list: &'a str) -> Self {
        let Some((entry, after)) = split_value(list) else {
            return Self::Endless;
        };

        let after = after.trim_start();
        let next = after.strip_prefix(',');
        if next.is_none() && !after.is_empty() {
            return Self::Endless;
        }

        if is_json(entry) {
            Self::Json { entry, next }
        } else if entry.trim_start().starts_with('{') {
            Self::Bracketed { entry, next }
        } else {
            Self::Endless
        }
    }

    fn next(self) -> Option<&'a str> {
        match self {
            Self::Json { next, .. } | Self::Bracketed { next, .. } => next,
            Self::Endless => None,
        }
    }

    /// The rest of `list` from the first sound place inside this entry: a JSON object from which
    /// all brackets match up to the end of `list`. The brackets of a list inside the entry do not
    /// match up to there, so none of its items is used.
    fn sound_start(self, list: &'a str, tries: &mut usize) -> Option<&'a str> {
        let within = match self {
            Self::Json { entry, .. } | Self::Bracketed { entry, .. } => entry,
            Self::Endless => list,
        };

        let after_commas = within.match_indices(',').map(|(at, _)| &list[at + 1..]);
        let objects = after_commas
            .filter(|rest| rest.trim_start().starts_with('{'))
            .take(*tries);

        let mut sound = objects
            .inspect(|_| *tries -= 1)
            .filter(|rest| is_sound(rest));
        sound.next()
    }
}

/// Whether the first entry of a list is JSON, and all brackets match up to the list's end.
fn is_sound(list: &str) -> bool {
    let First::Json { next: mut rest, .. } = First::of(list) else {
        return false;
    };

    while let Some(list) = rest {
        let first = First::of(list);
        if matches!(first, First::Endless) {
            return false;
        }
        rest = first.next();
    }

    true
}

/// Splits `text` after its first value, as delimited by brackets and quotes. Returns `None` if
/// these do not match.
fn split_value(text: &str) -> Option<(&str, &str)> {
    let mut closing = Vec::new();
    let mut bytes = text.bytes().enumerate();

    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes)?,
            b'{' => closing.push(b'}'),
            b'[' => closing.push(b']'),
            b'}' | b']' => {
                if closing.pop() != Some(byte) {
                    return None;
                }
                if closing.is_empty() {
                    return Some(text.split_at(at + 1));
                }
            }
            b',' if closing.is_empty() => return Some(text.split_at(at)),
            _ => {}
        }
    }

    closing.is_empty().then_some((text, ""))
}

/// Skips the rest of a string whose opening quote has been read. Returns `None` if it does not end.
fn skip_string(bytes: &mut impl Iterator<Item = (usize, u8)>) -> Option<()> {
    loop {
        match bytes.next()?.1 {
            b'\\' => _ = bytes.next()?,
            b'"' => return Some(()),
            _ => {}
        }
    }
}
