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
    match check(request.method(), request.headers(), &state.allowed_origins) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(method: &Method, headers: &HeaderMap, allowed: &[String]) -> Result<(), Problem> {
    let site = only(headers, &SITE);
    // The page is ours, or there is none because the user typed the address.
    let own_page = site == Some("same-origin") || site == Some("none");

    if headers.contains_key(header::ORIGIN) {
        let origin = only(headers, &header::ORIGIN).unwrap_or("several");

        // Before `Sec-Fetch-Site` is considered: the pages of an allowed origin are another site's.
        if allowed
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(origin))
        {
            return Ok(());
        }

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
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    values
        .next()
        .filter(|_| values.next().is_none())?
        .to_str()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a request with these headers passes, where `https://shop.example` is allowed.
    fn passes(method: &Method, headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }

        check(method, &map, &["https://shop.example".to_owned()]).is_ok()
    }

    #[test]
    fn programs_that_tell_no_origin_pass() {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            assert!(passes(&method, &[]));
            assert!(passes(&method, &[("host", "127.0.0.1:8080")]));
        }
    }

    #[test]
    fn the_origin_of_the_host_itself_passes_however_it_is_spelt() {
        for (origin, host) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://LOCALHOST:8080", "localhost:8080"),
            ("http://localhost.:8080", "LocalHost.:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
            ("http://[::1]", "[::1]"),
            ("https://api.example", "api.example"),
            ("https://api.example", "api.example:443"),
            ("https://api.example:443", "api.example"),
            ("http://api.example", "api.example:80"),
            ("https://shop.example", "api.example"),
            ("HTTPS://SHOP.example", "api.example"),
        ] {
            for method in [Method::GET, Method::POST] {
                assert!(
                    passes(&method, &[("origin", origin), ("host", host)]),
                    "{origin} at {host}"
                );
            }
        }
    }

    #[test]
    fn any_other_origin_is_refused_for_reads_and_writes_alike() {
        for (origin, host) in [
            ("https://evil.example", "127.0.0.1:8080"),
            ("null", "127.0.0.1:8080"),
            ("", "127.0.0.1:8080"),
            ("http://127.0.0.1", "127.0.0.1:8080"),
            ("http://127.0.0.1:3000", "127.0.0.1:8080"),
            ("https://127.0.0.1", "127.0.0.1:80"),
            ("http://localhost:8080", "127.0.0.1:8080"),
            ("http://localhost.:8080", "localhost:8080"),
            ("http://127.0.0.1:8080.evil.example", "127.0.0.1:8080"),
            ("http://evil.example#127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://evil@127.0.0.1:8080", "evil@127.0.0.1:8080"),
            (
                "http://127.0.0.1:8080,https://evil.example",
                "127.0.0.1:8080",
            ),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("chrome-extension://127.0.0.1:8080", "127.0.0.1:8080"),
            ("file://", ""),
            ("http://api.example", "[api.example"),
            ("https://shop.example:8443", "api.example"),
            ("http://shop.example", "api.example"),
            ("https://shop.example.evil.example", "api.example"),
        ] {
            for method in [Method::GET, Method::POST, Method::OPTIONS] {
                assert!(
                    !passes(&method, &[("origin", origin), ("host", host)]),
                    "{origin} at {host}"
                );
            }
        }

        assert!(
            !passes(&Method::POST, &[("origin", "http://127.0.0.1:8080")]),
            "a missing host belongs to no site"
        );

        let twice = [
            ("origin", "http://a:1"),
            ("origin", "http://a:1"),
            ("host", "a:1"),
        ];
        assert!(!passes(&Method::POST, &twice));
    }

    #[test]
    fn another_site_is_refused_unless_it_is_allowed_or_its_link_was_followed() {
        let (cross, own) = (("sec-fetch-site", "cross-site"), ("origin", "http://a:1"));
        assert!(!passes(&Method::POST, &[cross]));
        assert!(!passes(
            &Method::GET,
            &[
                cross,
                ("sec-fetch-mode", "no-cors"),
                ("sec-fetch-dest", "image")
            ]
        ));
        assert!(
            !passes(&Method::POST, &[cross, own, ("host", "a:1")]),
            "one of the two is a lie"
        );
        assert!(
            !passes(&Method::GET, &[("sec-fetch-site", "same-site")]),
            "another port of this host"
        );

        assert!(!passes(&Method::GET, &[("sec-fetch-site", "else")]));
        assert!(!passes(
            &Method::GET,
            &[("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")]
        ));
        assert!(passes(
            &Method::POST,
            &[cross, ("origin", "https://shop.example"), ("host", "a:1")]
        ));

        let navigate = ("sec-fetch-mode", "navigate");
        assert!(passes(
            &Method::GET,
            &[cross, navigate, ("sec-fetch-dest", "document")]
        ));
        assert!(passes(&Method::GET, &[cross, navigate]));
        assert!(!passes(
            &Method::GET,
            &[cross, navigate, ("sec-fetch-dest", "iframe")]
        ));
        assert!(
            !passes(
                &Method::POST,
                &[cross, navigate, ("sec-fetch-dest", "document")]
            ),
            "a form"
        );
    }

    #[test]
    fn our_own_page_passes_even_where_it_hides_its_address() {
        for site in ["same-origin", "none"] {
            let site = ("sec-fetch-site", site);
            assert!(passes(&Method::GET, &[site]));
            assert!(passes(
                &Method::POST,
                &[site, ("origin", "null"), ("host", "a:1")]
            ));
            assert!(passes(
                &Method::POST,
                &[site, ("origin", "http://a:1"), ("host", "a:1")]
            ));
            assert!(!passes(
                &Method::POST,
                &[site, ("origin", "http://b:1"), ("host", "a:1")]
            ));
        }
    }
}
