//! The contract: OpenAPI 3.1 out of the handlers' and answers' own types, served at `/openapi.json`.

use std::sync::Arc;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;

use crate::problem::AlwaysProblems;

/// What stands above the paths.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Market data API",
        description = include_str!("contract.md"),
        license(name = "MIT", identifier = "MIT")
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "prices", description = "Quotes, their history and moving averages"),
        (name = "polling jobs", description = "Quotes fetched on a schedule"),
        (name = "operation", description = "How the service is"),
        (name = "contract", description = "This document and its page")
    )
)]
pub(crate) struct Contract;

/// The document, written once.
#[derive(Clone, Debug)]
pub(crate) struct Document(pub(crate) Arc<str>);

/// This document
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "contract",
    responses((status = OK, body = Object, content_type = "application/json"), AlwaysProblems)
)]
pub(crate) async fn document(axum::Extension(Document(text)): axum::Extension<Document>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text.to_string()).into_response()
}
