//! The contract: OpenAPI 3.1, generated from the types of handlers and answers, and served at
//! `/openapi.json`.

use std::sync::Arc;

use axum::http::{HeaderName, HeaderValue, header};
use axum::{Extension, Json};
use utoipa::OpenApi;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::{ContentBuilder, Header, Ref, RefOr, ResponseBuilder};

use crate::problem::AlwaysProblems;
use crate::representation::CONFIRM_FOR_ANYONE;

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
        (name = "contract", description = "This document and its page"),
        (name = "page", description = "Prices, charts and jobs as a page")
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
) -> (
    [(HeaderName, HeaderValue); 1],
    Json<Arc<utoipa::openapi::OpenApi>>,
) {
    let kept = [(header::CACHE_CONTROL, CONFIRM_FOR_ANYONE)];
    (kept, Json(contract))
}

/// Adds what holds for every GET: the tag of its answer, and the answers to conditions.
pub(crate) fn add_conditions(contract: &mut utoipa::openapi::OpenApi) {
    let operations = contract.paths.paths.values_mut();

    for operation in operations.filter_map(|path| path.get.as_mut()) {
        let answers = &mut operation.responses.responses;

        if let Some(RefOr::T(answer)) = answers.get_mut("200") {
            let tag = HeaderBuilder::from(Header::default())
                .description(Some("Strong tag of these bytes, for `If-None-Match`"));
            answer
                .headers
                .insert("ETag".to_owned(), RefOr::T(tag.build()));
        }

        let unchanged =
            ResponseBuilder::new().description("The client has it: `If-None-Match` names its tag");
        answers.insert("304".to_owned(), unchanged.build().into());

        let problem = RefOr::Ref(Ref::from_schema_name("Problem"));
        let changed = ResponseBuilder::new()
            .description("It has changed: `If-Match` names another tag")
            .content(
                "application/problem+json",
                ContentBuilder::new().schema(Some(problem)).build(),
            );
        answers.insert("412".to_owned(), changed.build().into());
    }
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
