//! Rejects requests that a page of another site makes a browser send. The visitor of such a page
//! would otherwise use this API without knowing it.
//!
//! Browsers state where a request comes from, and pages cannot change it: in `Sec-Fetch-Site` to
//! HTTPS and loopback addresses, and in `Origin` whenever a page would write, or read the answer.
//! Programs send neither header, and pass. Reads are guarded like writes, because
//! `GET /prices/latest` asks providers and publishes.
//!
//! This is not authentication. It relies on a correct `Host`, which a server that listens on
//! loopback has to check.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Scheme;
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::cors;
use crate::problem::Problem;
use crate::state::AppState;

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const DESTINATION: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Answers a foreign page's request with a problem; other requests reach the handlers.
pub(crate) async fn refuse(
    State(state): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Response {
    match check(request.method(), request.headers(), &state.cors_origins) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(method: &Method, headers: &HeaderMap, listed: &[String]) -> Result<(), Problem> {
    let site = only(headers, &SITE);
    // The page is ours, or there is none because the user typed the address.
    let own_page = site == Some("same-origin") || site == Some("none");

    if headers.contains_key(header::ORIGIN) {
        // Before `Sec-Fetch-Site` is considered: the pages of a listed origin are another site's.
        if cors::listed(headers, listed).is_some() {
            return Ok(());
        }

        let origin = only(headers, &header::ORIGIN).unwrap_or("several");
        // A page of ours that hides its address sends `null`.
        let own = is_own(origin, headers) || (origin == "null" && own_page);
        return if own && (own_page || site.is_none()) {
            Ok(())
        } else {
            Err(Problem::foreign_page())
        };
    }

    let ours = own_page || !headers.contains_key(SITE) || is_visit(method, headers);
    if ours {
        Ok(())
    } else {
        Err(Problem::foreign_page())
    }
}

/// Whether the user followed a link of another site, so that the browser shows the answer as a
/// page.
fn is_visit(method: &Method, headers: &HeaderMap) -> bool {
    let whole_page =
        only(headers, &DESTINATION).is_none_or(|destination| destination == "document");

    [Method::GET, Method::HEAD].contains(method)
        && only(headers, &MODE) == Some("navigate")
        && whole_page
}

/// Whether the request was sent to `origin`. Of the scheme only the default port is compared,
/// because our own scheme is unknown behind a proxy that terminates TLS.
fn is_own(origin: &str, headers: &HeaderMap) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let default_port = match Scheme::try_from(scheme) {
        Ok(scheme) if scheme == Scheme::HTTP => 80,
        Ok(scheme) if scheme == Scheme::HTTPS => 443,
        _ => return false,
    };

    let own = only(headers, &header::HOST).and_then(|host| host_and_port(host, default_port));
    own.is_some() && own == host_and_port(authority, default_port)
}

/// The host in lower case, and the port; `None` if either is not valid.
fn host_and_port(authority: &str, default_port: u16) -> Option<(String, u16)> {
    let (host, port) = match authority.rsplit_once(':') {
        // The last colon of an IPv6 address without a port belongs to the address.
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, default_port),
    };

    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    (!host.is_empty() && host.bytes().all(legal)).then(|| (host.to_ascii_lowercase(), port))
}

/// The header's value, if the header is present exactly once.
pub(crate) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    values
        .next()
        .filter(|_| values.next().is_none())?
        .to_str()
        .ok()
}

#[cfg(test)]
mod tests;
