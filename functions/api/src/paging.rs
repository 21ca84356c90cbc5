//! The link to the next page, beside `next_cursor`: clients that know `Link` (RFC 8288) can page
//! without reading the body, which an export has no cursor in.

use axum::http::{HeaderMap, HeaderValue, Uri, header};

/// A `Link` header to the page at `next_cursor`; no header on the last page.
pub(crate) fn links(uri: &Uri, next_cursor: Option<&str>) -> HeaderMap {
    links_by(uri, "cursor", next_cursor)
}

/// A `Link` header to the page at `next_cursor`, which the parameter `name` takes.
pub(crate) fn links_by(uri: &Uri, name: &str, next_cursor: Option<&str>) -> HeaderMap {
    next_cursor
        .and_then(|cursor| {
            let link = format!("<{}>; rel=\"next\"", with_parameter(uri, name, cursor));
            HeaderValue::try_from(link).ok()
        })
        .map(|link| (header::LINK, link))
        .into_iter()
        .collect()
}

/// The path and the query of the request, with `cursor` in place of any other, as a reference
/// relative to this server. The parameter `_` is left out: a client that appends it means one
/// request.
pub(crate) fn with_cursor(uri: &Uri, cursor: &str) -> String {
    with_parameter(uri, "cursor", cursor)
}

/// Like [`with_cursor`], for the parameter `parameter`.
fn with_parameter(uri: &Uri, parameter: &str, cursor: &str) -> String {
    let kept = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            !["", parameter, "_"].contains(&name)
        })
        .map(visible);

    let query: Vec<String> = kept.chain([format!("{parameter}={cursor}")]).collect();
    format!("{}?{}", visible(uri.path()), query.join("&"))
}

/// The text with everything percent-encoded that a header or a link must not contain.
fn visible(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'<' | b'>' | b'"' => format!("%{byte:02X}"),
            byte if byte.is_ascii_graphic() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_has_the_same_query_with_another_cursor() {
        for (uri, expected) in [
            ("/symbols", "/symbols?cursor=abc"),
            ("/symbols?limit=2", "/symbols?limit=2&cursor=abc"),
            (
                "https://host/symbols?limit=2&cursor=x&_=17&&a=%3C",
                "/symbols?limit=2&a=%3C&cursor=abc",
            ),
            ("/symbols?cursor=x&limit=2", "/symbols?limit=2&cursor=abc"),
        ] {
            assert_eq!(with_cursor(&uri.parse().unwrap(), "abc"), expected);
        }
    }

    #[test]
    fn a_link_is_visible_text_whatever_the_client_wrote() {
        let uri = "/symbols?prefix=ä".parse::<Uri>();
        if let Ok(uri) = uri {
            let links = links(&uri, Some("abc"));
            assert_eq!(
                links[header::LINK],
                "</symbols?prefix=%C3%A4&cursor=abc>; rel=\"next\""
            );
        }

        assert!(links(&"/symbols".parse().unwrap(), None).is_empty());
    }
}
