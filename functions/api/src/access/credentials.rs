//! The key that a request carries: in `Authorization: Bearer`, in `X-API-Key`, or, if that is
//! switched on, in the query parameter `key`.

use axum::extract::{Query, Request};
use axum::http::{HeaderMap, HeaderName, Uri, header};
use shared::access::Key;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const SCHEME: &str = "bearer";
const PARAMETER: &str = "key";

/// What a request carries.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    None,
    /// No key, or several that differ.
    Malformed,
    Key(Key, Place),
}

/// Where a key came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Header,
    Query,
}

impl Credentials {
    /// Reads the key. One in the query, if `in_query`, is taken out of the request's URI, so that
    /// nothing repeats it: no link to a next page, no problem, no line of a log.
    pub(super) fn take(request: &mut Request, in_query: bool) -> Self {
        let in_headers = texts_of_headers(request.headers());

        let of_query = if in_query {
            let (texts, rest) = split_query(request.uri());
            if !texts.is_empty() {
                *request.uri_mut() = rest;
            }
            texts
        } else {
            Vec::new()
        };

        let place = match (in_headers.is_empty(), of_query.is_empty()) {
            (true, true) => return Self::None,
            // A header is not seen by those who see the address.
            (false, _) => Place::Header,
            (true, false) => Place::Query,
        };

        let mut keys = in_headers
            .iter()
            .chain(&of_query)
            .map(|text| text.as_deref().and_then(|text| text.parse::<Key>().ok()));
        let first = keys.next().flatten();
        match first {
            Some(key) if keys.all(|other| other.as_ref() == Some(&key)) => Self::Key(key, place),
            _ => Self::Malformed,
        }
    }
}

/// The texts in place of a key, one for each header that is there; `None` for one that cannot hold a
/// key. Headers that came several times were joined by API Gateway, and are no key any more.
fn texts_of_headers(headers: &HeaderMap) -> Vec<Option<String>> {
    let authorization = headers.get_all(header::AUTHORIZATION).iter().map(|value| {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        let is_bearer = scheme.eq_ignore_ascii_case(SCHEME);
        is_bearer.then(|| key.trim().to_owned())
    });
    let api_key = headers
        .get_all(API_KEY)
        .iter()
        .map(|value| value.to_str().ok().map(|text| text.trim().to_owned()));

    authorization.chain(api_key).collect()
}

/// The values of the parameter `key`, and the URI without it.
fn split_query(uri: &Uri) -> (Vec<Option<String>>, Uri) {
    let parameters = |pair: &str| -> Vec<(String, String)> {
        let uri = Uri::builder().path_and_query(format!("/?{pair}")).build();
        let read = uri.ok().and_then(|uri| Query::try_from_uri(&uri).ok());
        read.map_or_else(Vec::new, |Query(pairs)| pairs)
    };

    let (mut texts, mut rest) = (Vec::new(), Vec::new());
    for pair in uri.query().unwrap_or_default().split('&') {
        match parameters(pair).pop() {
            Some((name, text)) if name == PARAMETER => texts.push(Some(text)),
            _ => rest.push(pair),
        }
    }

    let path = match rest.join("&") {
        query if query.is_empty() => uri.path().to_owned(),
        query => format!("{}?{query}", uri.path()),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = path.parse().ok();

    // It was a URI, and a part of its query is no less of one.
    let without = Uri::from_parts(parts).unwrap_or_else(|_| Uri::from_static("/"));
    (texts, without)
}

#[cfg(test)]
mod tests;
