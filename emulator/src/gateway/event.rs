//! A request as the event that functions receive: payload format 2.0.
//!
//! `rawPath` is percent-decoded, despite its name, and ends at a decoded question mark.
//! `rawQueryString` remains as the client wrote it. API Gateway does the same, and `lambda_http`
//! builds its URI from both.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, COOKIE, HOST, HeaderMap, USER_AGENT};
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use percent_encoding::percent_decode_str;
use reqwest::Url;
use serde_json::{Value, json};

use super::route::RouteMatch;

/// Most bytes of request line and headers together.
const MAX_HEAD_BYTES: usize = 10_240;

/// Headers that concern one connection only, and those that the event contains in another form.
const NOT_PASSED_ON: [&str; 10] = [
    "connection",
    "content-length",
    "cookie",
    "expect",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A request that was received completely.
pub(super) struct Received<'a> {
    pub(super) head: &'a Parts,
    pub(super) path: &'a str,
    pub(super) body: &'a Bytes,
    pub(super) client: SocketAddr,
    pub(super) known: Known,
    pub(super) request_id: &'a str,
}

/// What the gateway knows of a request, and the function cannot see.
#[derive(Clone, Copy)]
pub(super) struct Known {
    /// Whether it came through a listener that only this machine reaches.
    pub(super) on_loopback: bool,
    /// Whether its sender is on this machine.
    pub(super) from_this_machine: bool,
}

/// Returns the decoded path, or `None` if path and host do not form a URL. Without a URL, the
/// function's runtime would panic.
pub(super) fn path(head: &Parts) -> Option<String> {
    let decoded = percent_decode_str(head.uri.path()).decode_utf8().ok()?;
    let path = decoded
        .split('?')
        .next()
        .filter(|path| path.starts_with('/'))?;

    let url = Url::parse(&format!("http://{}{path}", host(&head.headers)?)).ok()?;
    url.has_host().then(|| path.to_owned())
}

/// Whether request line and headers exceed API Gateway's limit.
pub(super) fn is_head_too_large(head: &Parts) -> bool {
    let line = head.uri.path().len() + head.uri.query().map_or(0, str::len);
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len());
    line + headers.sum::<usize>() > MAX_HEAD_BYTES
}

/// Returns the event as JSON.
pub(super) fn of_request(request: &Received<'_>, route: &RouteMatch<'_>) -> Vec<u8> {
    let head = request.head;
    let mut event = json!({
        "version": "2.0",
        "routeKey": route.key,
        "rawPath": request.path,
        "rawQueryString": head.uri.query().unwrap_or_default(),
        "headers": headers(request),
        "requestContext": context(request, route.key),
        "isBase64Encoded": false,
    });

    let cookies: Vec<_> = head
        .headers
        .get_all(COOKIE)
        .iter()
        .map(|value| text(value.as_bytes()))
        .collect();
    if !cookies.is_empty() {
        event["cookies"] = cookies
            .iter()
            .flat_map(|line| line.split(';'))
            .map(str::trim)
            .collect();
    }

    if let Some(query) = head.uri.query().filter(|query| !query.is_empty()) {
        event["queryStringParameters"] = query_parameters(query);
    }

    if !route.path_parameters.is_empty() {
        event["pathParameters"] = json!(route.path_parameters);
    }

    if !request.body.is_empty() {
        let as_text = is_text(&head.headers)
            .then(|| std::str::from_utf8(request.body).ok())
            .flatten();
        event["isBase64Encoded"] = as_text.is_none().into();
        event["body"] = as_text
            .map_or_else(|| STANDARD.encode(request.body), str::to_owned)
            .into();
    }

    event.to_string().into_bytes()
}

fn context(request: &Received<'_>, route_key: &str) -> Value {
    let now = Utc::now();
    let head = request.head;
    let url = host(&head.headers).and_then(|host| Url::parse(&format!("http://{host}/")).ok());
    let domain = url.as_ref().and_then(Url::host_str).unwrap_or("localhost");

    let mut context = json!({
        "accountId": "000000000000",
        "apiId": "local",
        "domainName": domain,
        "domainPrefix": domain.split('.').next(),
        "http": {
            "method": head.method.as_str(),
            "path": request.path,
            "protocol": format!("{:?}", head.version),
            "sourceIp": request.client.ip().to_string(),
            "userAgent": head.headers.get(USER_AGENT).map(|value| text(value.as_bytes())).unwrap_or_default(),
        },
        "requestId": request.request_id,
        "routeKey": route_key,
        "stage": "$default",
        "time": now.format("%d/%b/%Y:%H:%M:%S +0000").to_string(),
        "timeEpoch": now.timestamp_millis(),
    });

    // Where API Gateway puts what a Lambda authorizer knows of a request: no client can write here.
    let known = request.known;
    if known.on_loopback {
        context["authorizer"]["lambda"]["listener"] = "loopback".into();
    }
    if known.from_this_machine {
        context["authorizer"]["lambda"]["sender"] = "this machine".into();
    }
    context
}

/// Returns the headers: names in lower case, repeated ones joined, and those that a proxy adds.
fn headers(request: &Received<'_>) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::<String, String>::new();
    let own = &request.head.headers;

    for (name, value) in own
        .iter()
        .filter(|(name, _)| !NOT_PASSED_ON.contains(&name.as_str()))
    {
        append(&mut headers, name.as_str(), &text(value.as_bytes()));
    }

    if let Some(host) = host(own) {
        headers.insert("host".to_owned(), host);
    }
    if !request.body.is_empty() || own.contains_key("content-length") {
        headers.insert("content-length".to_owned(), request.body.len().to_string());
    }

    append(
        &mut headers,
        "x-forwarded-for",
        &request.client.ip().to_string(),
    );
    headers.insert("x-forwarded-proto".to_owned(), "http".to_owned());

    headers
}

fn append(headers: &mut BTreeMap<String, String>, name: &str, value: &str) {
    headers
        .entry(name.to_owned())
        .and_modify(|joined| {
            joined.push(',');
            joined.push_str(value);
        })
        .or_insert_with(|| value.to_owned());
}

/// Returns the decoded parameters, with repeated ones joined.
fn query_parameters(query: &str) -> Value {
    let mut parameters = BTreeMap::new();
    if let Ok(mut url) = Url::parse("http://localhost/") {
        url.set_query(Some(query));
        for (name, value) in url.query_pairs() {
            append(&mut parameters, &name, &value);
        }
    }
    json!(parameters)
}

/// Returns the host that the client named, or `localhost` if it named none, as HTTP/1.0 permits.
/// Returns `None` if the name is not legal.
fn host(headers: &HeaderMap) -> Option<String> {
    let Some(host) = headers.get(HOST) else {
        return Some("localhost".to_owned());
    };
    let host = host.to_str().ok()?;

    // Any other byte could put a path or a user into the URL.
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    (!host.is_empty() && host.bytes().all(legal)).then(|| host.to_owned())
}

/// Whether the body has one of the types that the event contains as text. All others are Base64.
fn is_text(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();

    let kind = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();

    kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || [
            "application/json",
            "application/javascript",
            "application/xml",
        ]
        .contains(&kind.as_str())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
