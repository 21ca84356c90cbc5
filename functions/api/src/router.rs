//! Maps paths to handlers, and applies to all of them: request ids, CORS, the check for foreign pages,
//! keys, the limit on bodies, compression, entity tags and conditions, and problems for requests that no
//! handler answers.

use std::any::Any;
use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::{Extensions, HeaderMap, StatusCode, Uri, Version, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router, middleware};
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate as _, SizeAbove};
use tower_http::limit::RequestBodyLimitLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::contract::add_access;
use crate::contract::{Contract, add_conditions};
use crate::history::PARQUET;
use crate::problem::{MAX_BODY_BYTES, Problem};
use crate::state::AppState;
use crate::{
    access, average, candles, changes, contract, cors, dead_letters, docs, foreign_pages, health,
    history, json_bodies, latest, page, polling_jobs, providers, rejected, representation,
    request_id, symbols, verify,
};

/// Fewest bytes of an answer that is compressed. A smaller one fits into one packet either way.
const MIN_COMPRESSED_BYTES: u16 = 1_024;

/// The whole API with `state`.
pub fn router(state: AppState) -> Router {
    let state = Arc::new(state);
    let (routes, mut contract) = routes().split_for_parts();
    add_conditions(&mut contract);
    add_access(&mut contract);

    // The levels above make answers a little smaller, and take several times as long.
    let compression = CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(MIN_COMPRESSED_BYTES).and(is_compressible));

    let (letting_in, sharing) = (Arc::clone(&state), Arc::clone(&state));
    // A layer covers only the routes and fallbacks before it, and the one added last runs first: a
    // tag is that of the compressed bytes, a panic of any handler is caught, a foreign page and a
    // request without a key are refused before their body is looked at, and every answer has an id.
    // The limit of axum's extractors is off, so that there is one limit.
    routes
        .route_layer(middleware::from_fn(json_bodies::require))
        .route_layer(Extension(Arc::new(contract)))
        .with_state(Arc::clone(&state))
        .fallback(async |uri: Uri| Problem::no_path(uri.path()))
        .method_not_allowed_fallback(async || Problem::wrong_method())
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(MAX_BODY_BYTES))
        .layer(middleware::map_response(async |response: Response| {
            Problem::instead_of_plain_413(response)
        }))
        .layer(middleware::from_fn_with_state(letting_in, access::admit))
        .layer(middleware::from_fn_with_state(state, foreign_pages::refuse))
        .layer(compression)
        .layer(CatchPanicLayer::custom(internal))
        .layer(middleware::from_fn(representation::complete))
        .layer(middleware::from_fn_with_state(sharing, cors::share))
        .layer(middleware::from_fn(request_id::give))
}

/// Each handler with the path, the method and the description that its attribute states. So the
/// contract contains exactly what is routed.
fn routes() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::with_openapi(Contract::openapi())
        .routes(routes!(latest::latest))
        .routes(routes!(average::average))
        .routes(routes!(history::history))
        .routes(routes!(candles::candles))
        .routes(routes!(changes::changes))
        .routes(routes!(symbols::symbols))
        .merge(job_routes())
        .merge(repair_routes())
        .routes(routes!(providers::providers))
        .routes(routes!(health::health))
        .merge(page_routes())
}

/// The routes of the pages, and of the contract that one of them shows.
fn page_routes() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new()
        .routes(routes!(contract::document))
        .routes(routes!(docs::page))
        .routes(routes!(docs::part))
        .routes(routes!(page::page))
        .routes(routes!(page::part))
}

/// The routes that show and repair what went wrong.
fn repair_routes() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new()
        .routes(routes!(rejected::list))
        .routes(routes!(rejected::redrive::one))
        .routes(routes!(rejected::redrive::many))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::redrive))
        .routes(routes!(verify::verify))
}

/// The routes of polling jobs.
fn job_routes() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new()
        .routes(routes!(polling_jobs::create, polling_jobs::list))
        .routes(routes!(
            polling_jobs::get,
            polling_jobs::change::change,
            polling_jobs::delete
        ))
        .routes(routes!(polling_jobs::pause::pause))
        .routes(routes!(polling_jobs::pause::resume))
        .routes(routes!(polling_jobs::run::run))
        .routes(routes!(polling_jobs::runs::list))
        .routes(routes!(polling_jobs::runs::get))
}

/// Whether compressing an answer makes it smaller: Parquet is compressed already.
fn is_compressible(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_none_or(|kind| kind != PARQUET)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that the layer calls"
)]
fn internal(panic: Box<dyn Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));

    tracing::error!(panic = message, "a handler panicked");
    Problem::internal().into_response()
}
