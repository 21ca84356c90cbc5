//! Keeps an answer readable if some of its entries are not JSON, such as one with a bare `NaN`.
//!
//! Each entry is read by itself, and as strictly as any answer: it counts only if it is a whole
//! entry of the document, from its first byte to its last. The content of an entry is never read as
//! an entry. In an answer that is cut off, the entries before the cut count, and what followed
//! them counts as one more that cannot be read.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// The replacement of an entry that is not JSON.
const UNREADABLE: &str = "null";
/// Most places of one answer at which the search for a sound entry inside a broken one is tried.
/// Each try may read the rest of the answer.
const MAX_TRIES: usize = 100;

/// What a list consists of.
#[derive(Clone, Copy)]
enum Kind<'a> {
    /// Objects, between brackets.
    Objects,
    /// Members of an object, each a name and an object, between braces. The function knows which
    /// names a member may have.
    Members(&'a dyn Fn(&str) -> bool),
}

impl Kind<'_> {
    /// How an entry starts.
    fn start(self) -> char {
        match self {
            Self::Objects => '{',
            Self::Members(_) => '"',
        }
    }

    /// Whether `entry` is one, and JSON. A member with another name or another value than an object
    /// is none: it may be a field of an entry whose braces are lost.
    fn is_entry(self, entry: &str) -> bool {
        match self {
            Self::Objects => is_json(entry),
            Self::Members(is_name) => member(entry).is_some_and(|(name, value)| {
                is_name(&name) && value.starts_with('{') && is_json(value)
            }),
        }
    }
}

/// The entries of a JSON list, [`UNREADABLE`] for each that is not JSON. `None` if `body` is no
/// list.
pub(in crate::provider) fn list(body: &str) -> Option<Vec<&str>> {
    let list = body.trim().strip_prefix('[')?;
    Some(of_list(list, ']', Kind::Objects))
}

/// The names and values of a JSON object whose values are objects, and whose names `is_name`
/// accepts. A member that is not JSON is `None`. The outer `None` means that `body` is no object.
pub(in crate::provider) fn members(
    body: &str,
    is_name: impl Fn(&str) -> bool,
) -> Option<Vec<Option<(String, &str)>>> {
    let list = body.trim().strip_prefix('{')?;
    let members = of_list(list, '}', Kind::Members(&is_name));
    Some(members.into_iter().map(member).collect())
}

/// The entries of a list that ends with `end`, unless it is cut off.
fn of_list<'a>(list: &'a str, end: char, kind: Kind<'_>) -> Vec<&'a str> {
    // In a list that is cut off, a closing bracket at its end may be an entry's own.
    let mut cut_off = entries(list, kind);
    let whole = list.strip_suffix(end).map(|list| entries(list, kind));
    if let Some(whole) = whole.filter(|whole| sound(whole, kind) >= sound(&cut_off, kind)) {
        return whole;
    }

    cut_off.push(UNREADABLE);
    cut_off
}

/// How many of these entries are sound.
fn sound(entries: &[&str], kind: Kind<'_>) -> usize {
    let sound = entries.iter().filter(|entry| **entry != UNREADABLE);
    sound.filter(|entry| kind.is_entry(entry)).count()
}

/// The name and the value of a member.
fn member(member: &str) -> Option<(String, &str)> {
    let member = member.trim();
    let mut bytes = member.bytes().enumerate();
    if bytes.next()?.1 != b'"' {
        return None;
    }
    skip_string(&mut bytes)?;

    let (after, _) = bytes.next()?;
    let (name, rest) = member.split_at(after);
    let value = rest.trim_start().strip_prefix(':')?;
    Some((serde_json::from_str(name).ok()?, value.trim()))
}

/// The body, with `null` for each entry of its list that is not JSON.
pub(in crate::provider) fn readable(body: &str) -> Cow<'_, str> {
    if is_json(body) {
        return Cow::Borrowed(body);
    }

    without_unreadable_entries(body).map_or(Cow::Borrowed(body), Cow::Owned)
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Replaces the unreadable entries. The list of entries has the first `[` and the last `]` of an
/// answer. Where that gives no JSON, the answer is cut off: the last `]` may be an entry's own, and
/// the answer's two objects are closed.
fn without_unreadable_entries(body: &str) -> Option<String> {
    let (head, rest) = body.split_once('[')?;
    let joined = |entries: &[&str], tail: &str| {
        let joined = format!("{head}[{}]{tail}", entries.join(","));
        is_json(&joined).then_some(joined)
    };

    let up_to_bracket = rest.rsplit_once(']');
    let up_to_bracket = up_to_bracket.map(|(list, tail)| (entries(list, Kind::Objects), tail));
    let whole = up_to_bracket
        .as_ref()
        .and_then(|(entries, tail)| joined(entries, tail));
    if whole.is_some() {
        return whole;
    }

    let readings = up_to_bracket.map(|(entries, _)| entries).into_iter();
    let mut cut_off = readings
        .chain([entries(rest, Kind::Objects)])
        .max_by_key(|entries| sound(entries, Kind::Objects))?;
    cut_off.push(UNREADABLE);
    joined(&cut_off, "}}")
}

/// The entries of a list, with [`UNREADABLE`] for each that is not JSON.
///
/// An entry that is not JSON ends where its brackets end. They may mislead: after a missing quote,
/// strings are read as structure and the reverse, up to the end of a later entry. So the list
/// continues inside such an entry, at the first place where the rest of the list is sound.
fn entries<'a>(list: &'a str, kind: Kind<'_>) -> Vec<&'a str> {
    let mut entries = Vec::new();
    let mut rest = Some(list).filter(|list| !list.trim().is_empty());
    let mut tries = MAX_TRIES;

    while let Some(list) = rest {
        let first = First::of(list, kind);
        if let First::Json { entry, next } = first {
            entries.push(entry);
            rest = next;
        } else {
            entries.push(UNREADABLE);
            rest = first.sound_start(list, kind, &mut tries).or(first.next());
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
    /// It is not JSON, but its brackets delimit one entry.
    Bracketed {
        entry: &'a str,
        next: Option<&'a str>,
    },
    /// Its end cannot be determined.
    Endless,
}

impl<'a> First<'a> {
    fn of(list: &'a str, kind: Kind<'_>) -> Self {
        let Some((entry, after)) = split_value(list) else {
            return Self::Endless;
        };

        let after = after.trim_start();
        let next = after.strip_prefix(',');
        if next.is_none() && !after.is_empty() {
            return Self::Endless;
        }

        if kind.is_entry(entry) {
            Self::Json { entry, next }
        } else if entry.trim_start().starts_with(kind.start()) {
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
    fn sound_start(self, list: &'a str, kind: Kind<'_>, tries: &mut usize) -> Option<&'a str> {
        let within = match self {
            Self::Json { entry, .. } | Self::Bracketed { entry, .. } => entry,
            Self::Endless => list,
        };

        let after_commas = within.match_indices(',').map(|(at, _)| &list[at + 1..]);
        let objects = after_commas
            .filter(|rest| rest.trim_start().starts_with(kind.start()))
            .take(*tries);

        let mut sound = objects
            .inspect(|_| *tries -= 1)
            .filter(|rest| is_sound(rest, kind));
        sound.next()
    }
}

/// Whether the first entry of a list is JSON, and all brackets match up to the list's end.
fn is_sound(list: &str, kind: Kind<'_>) -> bool {
    let First::Json { next: mut rest, .. } = First::of(list, kind) else {
        return false;
    };

    while let Some(list) = rest {
        let first = First::of(list, kind);
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
