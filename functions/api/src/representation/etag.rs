//! Entity tags, and lists of them in requests (RFC 9110, section 8.8.3).

use axum::http::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Bytes of the hash in a tag. Two representations of one URL will never share them by accident.
const HASH_BYTES: usize = 16;

/// The strong tag of a representation, quotes included.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Etag(String);

impl Etag {
    /// The tag of a representation with these bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let hash = Sha256::digest(bytes);
        Self(format!(
            "\"{}\"",
            URL_SAFE_NO_PAD.encode(&hash[..HASH_BYTES])
        ))
    }

    pub(super) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).unwrap_or(HeaderValue::from_static("\"\""))
    }

    /// Whether this is the tag, compared strongly: a weak tag is no proof of the same bytes.
    pub(super) fn is(&self, tag: &str) -> bool {
        tag.trim() == self.0
    }

    /// Whether the list of `If-Match` contains the tag, compared strongly.
    pub(super) fn is_in(&self, list: &str) -> bool {
        list.trim() == "*" || tags(list).any(|tag| self.is(tag))
    }

    /// Whether the list of `If-None-Match` contains the tag, compared weakly.
    pub(super) fn is_weakly_in(&self, list: &str) -> bool {
        let strong = |tag: &str| self.is(tag.strip_prefix("W/").unwrap_or(tag));
        list.trim() == "*" || tags(list).any(strong)
    }
}

/// The tags of a list. Ours contain no comma; a foreign tag that does falls apart into pieces that
/// are none of ours.
fn tags(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_quoted_visible_text_of_its_bytes_alone() {
        let tag = Etag::of(b"AAPL");

        assert_eq!(tag, Etag::of(b"AAPL"));
        assert_ne!(tag, Etag::of(b"AAPM"));
        assert_eq!(tag.0.len(), 24);
        assert!(tag.0.starts_with('"') && tag.0.ends_with('"'));
        assert_eq!(tag.header(), tag.0);
    }

    #[test]
    fn lists_are_compared_weakly_or_strongly() {
        let tag = Etag::of(b"AAPL");
        let Etag(own) = &tag;

        for (list, weakly, strongly) in [
            (own.clone(), true, true),
            (format!("\"a\" , {own},\"b\""), true, true),
            (format!("W/{own}"), true, false),
            ("*".to_owned(), true, true),
            (" * ".to_owned(), true, true),
            ("\"a\", \"b,c\"".to_owned(), false, false),
            (String::new(), false, false),
            (own.trim_matches('"').to_owned(), false, false),
        ] {
            assert_eq!(tag.is_weakly_in(&list), weakly, "{list}");
            assert_eq!(tag.is_in(&list), strongly, "{list}");
        }
    }
}
