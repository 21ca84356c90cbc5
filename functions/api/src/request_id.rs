//! `X-Request-Id`: names a request in its answer, and in every line of the log that it causes.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use lambda_http::RequestExt as _;
use tracing::Instrument as _;
use tracing::field::Empty;
use uuid::Uuid;

/// The header, in requests and answers.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a client.
const MAX_LENGTH: usize = 128;
/// Most characters of a path in a line of the log.
const MAX_SHOWN_PATH: usize = 200;

/// Keeps the client's id if it is one, or else makes one.
///
/// The fields `key_id` and `key_name` are filled in once the request's key is known.
pub(crate) async fn give(request: Request, next: Next) -> Response {
    let id = given(request.headers()).unwrap_or_else(|| Uuid::new_v4().to_string());

    // The innermost span alone is in a line of JSON, so it repeats Lambda's own id. The level lets
    // it pass every filter.
    let invocation = request
        .lambda_context_ref()
        .map(|context| &*context.request_id);
    let span = tracing::error_span!(
        "request",
        request_id = id,
        requestId = invocation,
        key_id = Empty,
        key_name = Empty
    );

    let answered = async {
        let (method, path) = (request.method().clone(), shown(request.uri().path()));
        let response = next.run(request).await;
        tell(&method, &path, response.status());
        response
    };

    let mut response = answered.instrument(span).await;
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Logs an answer: at `info` if the request may have changed something or was refused, otherwise at
/// `debug`. The query is left out, because it may hold a key.
fn tell(method: &Method, path: &str, status: StatusCode) {
    if matters(method, status) {
        tracing::info!(%method, path, status = status.as_u16(), "a request is answered");
    } else {
        tell_of_read(method, path, status);
    }
}

fn tell_of_read(method: &Method, path: &str, status: StatusCode) {
    tracing::debug!(%method, path, status = status.as_u16(), "a request is answered");
}

fn matters(method: &Method, status: StatusCode) -> bool {
    let refused = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    !reads || refused.contains(&status)
}

/// The beginning of a path.
fn shown(path: &str) -> String {
    path.chars().take(MAX_SHOWN_PATH).collect()
}

/// The client's id, if it sent exactly one of up to 128 letters, digits and `._:/+=@-`. Others
/// could not be found in a log, or forge a line of it.
fn given(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(REQUEST_ID).iter();
    let only = values.next().filter(|_| values.next().is_none())?;

    let id = only.to_str().ok()?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/+=@-".contains(&byte);
    ((1..=MAX_LENGTH).contains(&id.len()) && id.bytes().all(legal)).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ids: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for id in ids {
            headers.append(REQUEST_ID, HeaderValue::from_bytes(id.as_bytes()).unwrap());
        }
        given(&headers)
    }

    #[test]
    fn a_client_s_id_is_kept_if_it_is_one_word_of_at_most_128_characters() {
        let longest = "a".repeat(MAX_LENGTH);
        for id in [
            "1",
            "JKJaXmPLvHcESHA=",
            "f47ac10b-58cc",
            "a.b_c:d/e+f@g",
            &longest,
        ] {
            assert_eq!(of(&[id]).as_deref(), Some(id));
        }

        let too_long = "a".repeat(MAX_LENGTH + 1);
        for id in ["", " ", "a b", "a,b", "a\"b", "{x}", "ä", "a;b", &too_long] {
            assert_eq!(of(&[id]), None, "{id:?}");
        }

        assert_eq!(of(&[]), None);
        assert_eq!(of(&["a", "a"]), None);
    }
}
