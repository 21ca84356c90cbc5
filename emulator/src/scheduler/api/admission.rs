//! Which requests reach the operations.

use axum::body::HttpBody as _;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::middleware::Next;
use axum::response::Response;

use super::error_response;
use crate::visitors::Visitors;

/// Refuses what pages of other sites send, and bodies that are not declared as JSON, because a page
/// could send those without a preflight request.
pub(super) async fn admit(
    State(visitors): State<Visitors>,
    request: Request,
    next: Next,
) -> Response {
    if let Err(refused) = visitors.check(request.uri(), request.headers()) {
        return error_response(
            StatusCode::FORBIDDEN,
            "AccessDeniedException",
            &refused.to_string(),
        );
    }

    if !request.body().is_end_stream() && !is_json(request.headers()) {
        let message = "A body needs the header Content-Type: application/json.";
        return error_response(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaTypeException",
            message,
        );
    }

    next.run(request).await
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).into_iter();
    let (Some(only), None) = (types.next(), types.next()) else {
        return false;
    };

    let essence = only
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();

    essence.trim().eq_ignore_ascii_case("application/json")
}
