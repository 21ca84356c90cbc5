//! What every answer to a GET or HEAD states about its representation, and the conditions that a
//! request may put on it: `ETag`, `Cache-Control`, `If-Match`, `If-None-Match`, and `Range` on
//! exports (RFC 9110, sections 8.8, 13 and 14).
//!
//! The layer lies around the compression, so that it sees the bytes that are sent. The tag is their
//! hash: a strong validator, and another one for the compressed bytes. It reads the whole body,
//! which Lambda would do anyway. The size that `HEAD` states is that of the same bytes.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

mod etag;
mod range;

use etag::Etag;
use range::Wanted;

/// Longest body of an answer, which Lambda limits to 6 MB.
const MAX_ANSWER_BYTES: usize = 6_291_556;

/// May be kept by the client only, and used again once the server has confirmed its `ETag`: prices
/// change at any time, those of the past by late and corrected quotes.
const CONFIRM: HeaderValue = HeaderValue::from_static("private, no-cache");
/// May be kept by anyone, and used again once the server has confirmed its `ETag`.
pub(crate) const CONFIRM_FOR_ANYONE: HeaderValue = HeaderValue::from_static("public, no-cache");
/// Must not be kept.
pub(crate) const KEEP_NOTHING: HeaderValue = HeaderValue::from_static("no-store");
/// May be kept by anyone for an hour: it changes with a new version of the api only.
pub(crate) const KEEP_AN_HOUR: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// Completes the answer to a GET or HEAD, or replaces it as the request's conditions say.
pub(crate) async fn complete(mut request: Request, next: Next) -> Response {
    let Some(conditions) = Conditions::of(&request) else {
        return next.run(request).await;
    };

    // A range counts bytes of the uncompressed export: readers join ranges of several answers.
    if conditions.range.is_some() {
        request.headers_mut().remove(header::ACCEPT_ENCODING);
    }

    let mut response = next.run(request).await;
    let is_kept = response.status() == StatusCode::OK;
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(if is_kept { CONFIRM } else { KEEP_NOTHING });

    if is_kept {
        conditions.apply(response).await
    } else {
        response
    }
}

/// The conditions that a GET or HEAD puts on the representation.
struct Conditions {
    if_match: Option<String>,
    if_none_match: Option<String>,
    if_range: Option<String>,
    /// Of a GET only: for other methods the header has no meaning.
    range: Option<String>,
}

impl Conditions {
    /// The conditions of a request; `None` if it is neither a GET nor a HEAD.
    fn of(request: &Request) -> Option<Self> {
        let is_get = request.method() == Method::GET;
        if !is_get && request.method() != Method::HEAD {
            return None;
        }

        let headers = request.headers();
        Some(Self {
            if_match: joined(headers, &header::IF_MATCH),
            if_none_match: joined(headers, &header::IF_NONE_MATCH),
            if_range: joined(headers, &header::IF_RANGE),
            range: joined(headers, &header::RANGE).filter(|_| is_get),
        })
    }

    /// Answers as the conditions say, in the order of RFC 9110, section 13.2.2.
    async fn apply(self, response: Response) -> Response {
        let (mut head, body) = response.into_parts();
        let Ok(body) = to_bytes(body, MAX_ANSWER_BYTES).await else {
            tracing::error!("an answer is larger than Lambda allows");
            return Problem::internal().into_response();
        };

        let etag = Etag::of(&body);
        head.headers.insert(header::ETAG, etag.header());

        if self.if_match.is_some_and(|list| !etag.is_in(&list)) {
            return refused(Problem::changed(), etag.header());
        }

        if self
            .if_none_match
            .is_some_and(|list| etag.is_weakly_in(&list))
        {
            return not_modified(head.headers, body.len());
        }

        let in_ranges = head.headers.contains_key(header::ACCEPT_RANGES);
        let unchanged = self.if_range.is_none_or(|tag| etag.is(&tag));
        let range = self.range.filter(|_| in_ranges && unchanged);

        match range.map_or(Wanted::Everything, |range| Wanted::of(&range, body.len())) {
            Wanted::Everything => Response::from_parts(head, Body::from(body)),
            Wanted::Part(part) => {
                let all = body.len();
                let range = format!("bytes {}-{}/{all}", part.start, part.end - 1);

                head.status = StatusCode::PARTIAL_CONTENT;
                head.headers.insert(header::CONTENT_RANGE, text(&range));
                head.headers.remove(header::CONTENT_LENGTH);
                Response::from_parts(head, Body::from(body.slice(part)))
            }
            Wanted::Nothing => {
                let mut answer = refused(Problem::beyond_the_end(body.len()), etag.header());
                answer.headers_mut().insert(
                    header::CONTENT_RANGE,
                    text(&format!("bytes */{}", body.len())),
                );
                answer
            }
        }
    }
}

/// The header's values as one list; `None` if there is no such header or it is not text.
fn joined(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    let values: Result<Vec<&str>, _> = headers
        .get_all(name)
        .iter()
        .map(HeaderValue::to_str)
        .collect();

    values
        .ok()
        .filter(|values| !values.is_empty())
        .map(|values| values.join(", "))
}

/// A 304, with the headers that a cache needs to update what it has.
fn not_modified(mut headers: HeaderMap, size: usize) -> Response {
    headers.remove(header::CONTENT_TYPE);
    headers.remove(header::CONTENT_ENCODING);
    // The size of the representation. Without it the server would state that of this empty body.
    headers.insert(header::CONTENT_LENGTH, size.into());

    (StatusCode::NOT_MODIFIED, headers, Body::empty()).into_response()
}

fn refused(problem: Problem, etag: HeaderValue) -> Response {
    let mut answer = problem.into_response();
    answer.headers_mut().insert(header::ETAG, etag);
    answer
        .headers_mut()
        .insert(header::CACHE_CONTROL, KEEP_NOTHING);
    answer
}

fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static(""))
}
