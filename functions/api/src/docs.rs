//! `GET /docs`: the contract as an interactive page. All its files are served from here; it loads
//! nothing from other hosts.

use std::io::Read as _;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;

use crate::problem::{AlwaysProblems, PathNotFound, Problem};

/// The page may run and show only the files that we serve, and call only this API. Swagger UI also
/// needs `data:` images for its icons, and sets styles on its elements.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = include_str!("../assets/docs/index.html");
const START: &str = include_str!("../assets/docs/start.js");
/// Compressed by `build.rs` to a quarter of its size, in the binary and on the way to the browser.
const BUNDLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz"));
const STYLES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz"));

/// The contract as an interactive page
#[utoipa::path(
    get,
    path = "/docs",
    tag = "contract",
    operation_id = "showContract",
    responses((status = OK, body = String, content_type = "text/html", description = "The page"), AlwaysProblems)
)]
pub(crate) async fn page() -> Response {
    file("text/html; charset=utf-8", PAGE)
}

/// A file of the interactive page
#[utoipa::path(
    get,
    path = "/docs/{file}",
    operation_id = "getContractFile",
    tag = "contract",
    params(("file" = String, Path, description = "The file's name", example = "start.js")),
    responses(
        (status = OK, body = String, content_type = "text/javascript", description = "The file"),
        PathNotFound, AlwaysProblems
    )
)]
pub(crate) async fn part(Path(name): Path<String>, request: HeaderMap) -> Response {
    match name.as_str() {
        "start.js" => file("text/javascript; charset=utf-8", START),
        "swagger-ui-bundle.js" => compressed("text/javascript; charset=utf-8", BUNDLE, &request),
        "swagger-ui.css" => compressed("text/css; charset=utf-8", STYLES, &request),
        _ => Problem::no_path(&format!("/docs/{name}")).into_response(),
    }
}

/// Answers with a compressed file: as it is if the client accepts gzip, as all browsers do, and
/// otherwise decompressed.
fn compressed(content_type: &'static str, content: &'static [u8], request: &HeaderMap) -> Response {
    if takes_gzip(request) {
        let mut response = file(content_type, content);
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        return response;
    }

    let mut text = Vec::new();
    match GzDecoder::new(content).read_to_end(&mut text) {
        Ok(_) => file(content_type, text),
        Err(_) => Problem::internal().into_response(),
    }
}

/// Whether the client accepts gzip, with a weight above 0.
fn takes_gzip(request: &HeaderMap) -> bool {
    let accepted = request
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());

    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight
            .trim()
            .strip_prefix("q=")
            .and_then(|weight| weight.parse::<f32>().ok());

        name.trim().eq_ignore_ascii_case("gzip") && weight.is_none_or(|weight| weight > 0.0)
    })
}

fn file(content_type: &'static str, content: impl IntoResponse) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
        (header::VARY, "accept-encoding"),
    ];
    (headers, content).into_response()
}
