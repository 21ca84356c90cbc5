//! `GET /`: prices, charts and jobs as a page. All its files are served from here; it loads nothing
//! from other hosts.
//!
//! `build.rs` compresses the files below `page` and gives them a name that changes with their
//! contents. So a browser keeps them for a year, asks for the document alone when it comes back,
//! and never runs the modules of two versions together.

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::problem::{AlwaysProblems, PathNotFound, Problem};
use crate::representation::CONFIRM_FOR_ANYONE;

include!(concat!(env!("OUT_DIR"), "/page_files.rs"));

/// The page may run and show only the files that we serve, and call only this API.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// May be kept for a year: another version of the file has another address.
const KEEP: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// A file of the page.
struct File {
    /// Its folder and name.
    path: &'static str,
    /// Its media type.
    kind: &'static str,
    plain: &'static [u8],
    /// The same, as gzip.
    compressed: &'static [u8],
}

/// Prices, charts and jobs as a page
#[utoipa::path(
    get,
    path = "/",
    tag = "page",
    operation_id = "showPage",
    responses((status = OK, body = String, content_type = "text/html", description = "The page"), AlwaysProblems)
)]
pub(crate) async fn page(headers: HeaderMap) -> Response {
    answer(&DOCUMENT, CONFIRM_FOR_ANYONE, &headers)
}

/// A file of the page
#[utoipa::path(
    get,
    path = "/page/{version}/{folder}/{file}",
    tag = "page",
    operation_id = "getPageFile",
    params(
        ("version" = String, Path, description = "Of all files together, as the page names it"),
        ("folder" = String, Path, description = "The file's folder", example = "app"),
        ("file" = String, Path, description = "The file's name", example = "main.js")
    ),
    responses(
        (status = OK, body = String, content_type = "text/javascript", description = "The file"),
        PathNotFound, AlwaysProblems
    )
)]
pub(crate) async fn part(
    Path((version, folder, name)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    let path = format!("{folder}/{name}");
    let Some(file) = FILES.iter().find(|file| file.path == path) else {
        return Problem::no_path(&format!("/page/{version}/{path}")).into_response();
    };

    // Another version's page asks for it while instances of both serve.
    let kept = if version == VERSION {
        KEEP
    } else {
        CONFIRM_FOR_ANYONE
    };
    answer(file, kept, &headers)
}

fn answer(file: &File, kept: HeaderValue, headers: &HeaderMap) -> Response {
    let all: [(HeaderName, HeaderValue); 6] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(file.kind)),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
        (header::CACHE_CONTROL, kept),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
    ];

    if accepts_gzip(headers) {
        let encoding = [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
        (all, encoding, file.compressed).into_response()
    } else {
        (all, file.plain).into_response()
    }
}

/// Whether `Accept-Encoding` lists gzip, and not with the quality 0.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let (name, quality) = coding.split_once(";q=").unwrap_or((coding, "1"));
            let refused = quality
                .trim()
                .parse()
                .is_ok_and(|quality: f32| quality <= 0.0);
            name.trim().eq_ignore_ascii_case("gzip") && !refused
        })
}

#[cfg(test)]
mod tests;
