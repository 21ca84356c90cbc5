//! The contract: OpenAPI 3.1, generated from the types of handlers and answers, and served at
//! `/openapi.json`.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;

use crate::problem::AlwaysProblems;
use crate::{average, docs, health, history, latest, polling_jobs, symbols};

/// The document's title, description and tags, and the handlers that it describes.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Market data API",
        description = include_str!("contract.md"),
        license(name = "MIT", identifier = "MIT")
    ),
    paths(
        latest::latest, average::average, history::history, symbols::symbols,
        polling_jobs::create, polling_jobs::list, polling_jobs::get, polling_jobs::delete,
        health::health, document, docs::page, docs::part
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "prices", description = "Quotes, their history and moving averages"),
        (name = "polling jobs", description = "Quotes fetched on a schedule"),
        (name = "operation", description = "Service health"),
        (name = "contract", description = "This document and its page")
    )
)]
pub(crate) struct Contract;

/// The document. It is generated for the first request that needs it, not at each start of the
/// function. Generating it cannot fail; if it did, the document would be empty, and the page would
/// report an error.
static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| Contract::openapi().to_json().unwrap_or_default());

/// This document
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "contract",
    operation_id = "getContract",
    responses((status = OK, body = Object, description = "OpenAPI 3.1"), AlwaysProblems)
)]
pub(crate) async fn document() -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        DOCUMENT.as_str(),
    )
        .into_response()
}
