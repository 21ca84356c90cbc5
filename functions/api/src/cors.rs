//! Cross-origin resource sharing (the Fetch standard, section 3.2): pages of the origins in
//! `CORS_ORIGINS` may send requests and read the answers.
//!
//! The layer lies around all others but the request's id, so that a page can read every problem.
//! Preflight requests are answered here: they carry no key, and their answer holds no data.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::foreign_pages::only;
use crate::state::AppState;

/// What a page may send. It never sends cookies.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PATCH, DELETE");
const HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, X-API-Key, Content-Type, Idempotency-Key, If-Match, If-None-Match, If-Range, \
     Range, X-Request-Id",
);
/// What a page may read besides the headers that every page may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "ETag, Link, Location, Retry-After, X-Request-Id, RateLimit-Limit, RateLimit-Remaining, \
     RateLimit-Reset, RateLimit-Policy, WWW-Authenticate, Accept-Ranges, Content-Range, \
     Content-Disposition",
);
/// How long a browser may keep the answer to a preflight request, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// A browser asks by it whether a page on the internet may reach an address of the visitor's own
/// network.
const ASKS_FOR_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const ALLOWS_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");

/// Answers preflight requests of listed origins, and lets their pages read the other answers.
pub(crate) async fn share(
    State(state): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Response {
    let origin = listed(request.headers(), &state.cors_origins).cloned();

    let mut response = match &origin {
        Some(_) if is_preflight(&request) => preflight(request.headers()),
        _ => next.run(request).await,
    };

    let headers = response.headers_mut();
    if !state.cors_origins.is_empty() {
        vary(headers);
    }
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    response
}

/// The request's origin as the browser wrote it, if it is one of `origins`.
pub(crate) fn listed<'a>(headers: &'a HeaderMap, origins: &[String]) -> Option<&'a HeaderValue> {
    let origin = only(headers, &header::ORIGIN)?;
    let is_listed = origins.iter().any(|one| one.eq_ignore_ascii_case(origin));

    headers.get(header::ORIGIN).filter(|_| is_listed)
}

/// Whether a browser asks if it may send another request.
fn is_preflight(request: &Request) -> bool {
    let asks = header::ACCESS_CONTROL_REQUEST_METHOD;
    *request.method() == Method::OPTIONS && request.headers().contains_key(asks)
}

fn preflight(asked: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();

    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    if asked.contains_key(ASKS_FOR_PRIVATE_NETWORK) {
        headers.insert(ALLOWS_PRIVATE_NETWORK, HeaderValue::from_static("true"));
    }
    response
}

/// Adds `origin` to `Vary`. It stays one value, because the answer of a function has each header
/// once.
fn vary(headers: &mut HeaderMap) {
    let before = headers
        .get(header::VARY)
        .and_then(|vary| vary.to_str().ok());
    let now = before.map_or_else(|| "origin".to_owned(), |vary| format!("{vary}, origin"));

    if let Ok(now) = HeaderValue::try_from(now) {
        headers.insert(header::VARY, now);
    }
}
