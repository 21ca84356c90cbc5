//! The contract: OpenAPI 3.1, generated from the types of handlers and answers, and served at
//! `/openapi.json`.

use std::sync::Arc;

use axum::{Extension, Json};
use utoipa::OpenApi;

use crate::problem::AlwaysProblems;

/// The document's title, description and tags. The router adds each of its handlers.
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
        (name = "operation", description = "Service health"),
        (name = "contract", description = "This document and its page")
    )
)]
pub(crate) struct Contract;

/// This document
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "contract",
    operation_id = "getContract",
    responses((status = OK, body = Object, description = "OpenAPI 3.1"), AlwaysProblems)
)]
pub(crate) async fn document(
    Extension(contract): Extension<Arc<utoipa::openapi::OpenApi>>,
) -> Json<Arc<utoipa::openapi::OpenApi>> {
    Json(contract)
}

#[cfg(test)]
mod tests {
    use crate::problem::MAX_BODY_BYTES;

    #[test]
    fn the_description_names_the_limit_of_bodies() {
        let limit = format!("body over {} MB", MAX_BODY_BYTES / 1_000_000);
        assert!(include_str!("contract.md").contains(&limit));
    }
}
