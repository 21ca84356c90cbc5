//! `GET /docs`: the contract as an interactive page. All its files are served from here; it loads
//! nothing from other hosts. It wears the look of the page at `/`, whose tokens it uses.

use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::problem::{AlwaysProblems, PathNotFound, Problem};
use crate::representation::KEEP_AN_HOUR;

/// The page may run and show only the files that we serve, and call only this API. Swagger UI also
/// needs `data:` images for its icons, and sets styles on its elements.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = include_str!("../assets/docs/index.html");
const START: &str = include_str!("../assets/docs/start.js");
const LOOK: &str = include_str!("../assets/docs/docs.css");
const BUNDLE: &str = include_str!("../assets/swagger-ui/swagger-ui-bundle.js");
const STYLES: &str = include_str!("../assets/swagger-ui/swagger-ui.css");

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
pub(crate) async fn part(Path(name): Path<String>) -> Response {
    match name.as_str() {
        "start.js" => file("text/javascript; charset=utf-8", START),
        "docs.css" => file("text/css; charset=utf-8", LOOK),
        "swagger-ui-bundle.js" => file("text/javascript; charset=utf-8", BUNDLE),
        "swagger-ui.css" => file("text/css; charset=utf-8", STYLES),
        _ => Problem::no_path(&format!("/docs/{name}")).into_response(),
    }
}

fn file(content_type: &'static str, content: &'static str) -> Response {
    let headers: [(HeaderName, HeaderValue); 4] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(CONTENT_SECURITY_POLICY),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (header::CACHE_CONTROL, KEEP_AN_HOUR),
    ];
    (headers, content).into_response()
}
