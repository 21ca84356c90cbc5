//! Requires that bodies are declared as JSON, those of a PATCH also as a JSON Merge Patch. A page
//! of another site may make a browser send any body without a preflight request if it declares
//! plain text or a form. For the types of JSON the browser sends a preflight request first, which
//! is refused.

use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// Refuses a body that is not declared as JSON.
pub(crate) async fn require(request: Request, next: Next) -> Response {
    let patch = *request.method() == Method::PATCH;
    if !request.body().is_end_stream() && !is_json(request.headers(), patch) {
        return Problem::not_json().into_response();
    }

    next.run(request).await
}

/// Whether there is exactly one `Content-Type`, and it is JSON or, if `patch`, a JSON Merge Patch
/// (RFC 7396). Parameters such as a charset are ignored.
fn is_json(headers: &HeaderMap, patch: bool) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let only = values.next().filter(|_| values.next().is_none());

    only.and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(str::trim)
        .is_some_and(|kind| {
            kind.eq_ignore_ascii_case("application/json")
                || patch && kind.eq_ignore_ascii_case("application/merge-patch+json")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_may_be_a_merge_patch() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            "application/merge-patch+json".parse().unwrap(),
        );

        assert!(is_json(&headers, true));
        assert!(!is_json(&headers, false));
    }

    fn accepts(content_types: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for content_type in content_types {
            headers.append(header::CONTENT_TYPE, content_type.parse().unwrap());
        }
        is_json(&headers, false)
    }

    #[test]
    fn json_is_accepted_with_any_parameters_and_nothing_else_is() {
        for json in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=UTF-8",
            " application/json ",
        ] {
            assert!(accepts(&[json]), "{json}");
        }

        for other in [
            "",
            "text/plain",
            "text/plain; application/json",
            "text/plain;charset=application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/jsonp",
            "application/json5",
            "application/problem+json",
            "application/json, text/plain",
            "json",
            "*/*",
        ] {
            assert!(!accepts(&[other]), "{other}");
        }

        assert!(!accepts(&[]));
        assert!(!accepts(&["application/json", "text/plain"]));
        assert!(!accepts(&["application/json", "application/json"]));
    }
}
