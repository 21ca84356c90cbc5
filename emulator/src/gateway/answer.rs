//! A function's answer as an HTTP response: payload format 2.0.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, SET_COOKIE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

/// Headers that the server sets itself. `content-length` is one of them wherever there is a body.
const NOT_PASSED_ON: [&str; 3] = ["connection", "keep-alive", "transfer-encoding"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: u16,
    #[serde(default)]
    headers: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    cookies: Option<Vec<String>>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: Option<bool>,
}

/// Returns the response, or `None` if the payload does not describe one.
pub(super) fn response(payload: Bytes, method: &Method) -> Option<Response> {
    let value: Value = serde_json::from_slice(&payload).ok()?;
    if value.get("statusCode").is_none() {
        return Some(inferred(payload));
    }

    let answer: Answer = serde_json::from_value(value).ok()?;
    let status = StatusCode::from_u16(answer.status_code)
        .ok()
        .filter(|status| !status.is_informational())?;

    let body = body(
        answer.body.unwrap_or_default(),
        answer.is_base64_encoded.unwrap_or_default(),
    )?;

    let mut headers = headers(answer.headers.unwrap_or_default())?;
    for cookie in answer.cookies.unwrap_or_default() {
        headers.append(SET_COOKIE, cookie.try_into().ok()?);
    }
    // Of the body that HEAD leaves out, only the function knows the size.
    if method != Method::HEAD || !body.is_empty() {
        headers.remove(CONTENT_LENGTH);
    }
    if !body.is_empty() && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain;charset=UTF-8"),
        );
    }

    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Some(response)
}

/// Returns the response for JSON without a status code, which is the body itself.
fn inferred(payload: Bytes) -> Response {
    let mut response = Response::new(Body::from(payload));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn body(text: String, is_base64: bool) -> Option<Vec<u8>> {
    if is_base64 {
        STANDARD.decode(text).ok()
    } else {
        Some(text.into_bytes())
    }
}

fn headers(declared: BTreeMap<String, Value>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();

    for (name, value) in declared {
        let name: HeaderName = name.parse().ok()?;
        let value = match value {
            Value::String(text) => text,
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => return None,
        };

        if !NOT_PASSED_ON.contains(&name.as_str()) {
            headers.append(name, value.try_into().ok()?);
        }
    }

    Some(headers)
}
