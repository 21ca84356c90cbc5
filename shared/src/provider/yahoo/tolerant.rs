//! Keeps an answer readable where some of its entries are not JSON, such as one with a bare `NaN`.
//!
//! Each of those becomes `null`, and nothing else is changed. The result is then read as strictly
//! as any other answer, so an entry counts only where the document has one from its first byte to
//! its last. What an entry holds inside is never taken for an entry.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// What stands for entries that are not JSON.
const UNREADABLE: &str = "null";
/// Most places of one answer at which its list may go on within a broken entry; each try may read
/// the rest of it.
const MAX_TRIES: usize = 100;

/// A body as text that Postgres can hold: U+FFFD stands for bytes that are not UTF-8, and for NUL.
///
/// In a string that nobody reads such a byte does no harm. Anywhere else it makes the entry
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

/// Around the list of entries an answer has no other brackets of this kind.
fn without_unreadable_entries(body: &str) -> Option<String> {
    let (head, rest) = body.split_once('[')?;
    let (list, tail) = rest.rsplit_once(']')?;

    let entries = entries(list).join(",");
    Some(format!("{head}[{entries}]{tail}"))
}

/// The entries of a list.
///
/// The end of one that is not JSON is where its brackets say. They may mislead: a lost quote turns
/// strings and structure into each other, up to a later entry's end. So the list goes on within
/// such an entry already, where it soundly can.
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
    /// It is not, but it is one object by its brackets.
    Bracketed {
        entry: &'a str,
        next: Option<&'a str>,
    },
    /// Nothing tells where it ends.
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

    /// Where `list` soundly goes on within this entry of it: at an object of JSON from which on all
    /// brackets match to the list's end. A list that the entry holds ends before that, so nothing
    /// of it is taken.
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

/// Whether a list begins with JSON and its brackets match to its end.
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

/// The value at the start of `text`, as far as its brackets and quotes tell, and what follows it;
/// none where they do not match.
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

/// Goes past the end of a string whose opening quote was just read; none where it does not end.
fn skip_string(bytes: &mut impl Iterator<Item = (usize, u8)>) -> Option<()> {
    loop {
        match bytes.next()?.1 {
            b'\\' => _ = bytes.next()?,
            b'"' => return Some(()),
            _ => {}
        }
    }
}
