//! Maps paths to handlers, and applies to all of them: the check for foreign pages, the limit on
//! bodies, and problems for requests that no handler answers.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::Uri;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;

use crate::problem::{MAX_BODY_BYTES, Problem};
use crate::state::AppState;
use crate::{
    average, contract, docs, foreign_pages, health, history, json_bodies, latest, polling_jobs,
    symbols,
};

/// The whole API with `state`.
pub fn router(state: AppState) -> Router {
    let state = Arc::new(state);

    // A layer covers only the routes and fallbacks before it, and the one added last runs first: a
    // panic anywhere is caught, and a foreign page is refused before its body is looked at.
    routes()
        .route_layer(middleware::from_fn(json_bodies::require))
        .with_state(Arc::clone(&state))
        .fallback(async |uri: Uri| Problem::no_path(uri.path()))
        .method_not_allowed_fallback(async || Problem::wrong_method())
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(limit_body))
        .layer(middleware::from_fn_with_state(state, foreign_pages::refuse))
        .layer(CatchPanicLayer::custom(internal))
}

/// The paths that [`contract::Contract`] describes; a test fails if the two differ. They are two
/// lists because generating the descriptions would take a good part of each start, and they are
/// seldom requested.
fn routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/prices/latest", get(latest::latest))
        .route("/prices/average", get(average::average))
        .route("/prices/history", get(history::history))
        .route("/symbols", get(symbols::symbols))
        .route(
            "/prices/poll",
            post(polling_jobs::create).get(polling_jobs::list),
        )
        .route(
            "/prices/poll/{job_id}",
            get(polling_jobs::get).delete(polling_jobs::delete),
        )
        .route("/health", get(health::health))
        .route("/openapi.json", get(contract::document))
        .route("/docs", get(docs::page))
        .route("/docs/{file}", get(docs::part))
}

/// Refuses a body whose declared size is too large, even if the handler does not read it.
async fn limit_body(request: Request, next: Next) -> Response {
    let least = usize::try_from(request.body().size_hint().lower()).unwrap_or(usize::MAX);
    if least > MAX_BODY_BYTES {
        return Problem::body_too_large(MAX_BODY_BYTES).into_response();
    }

    next.run(request).await
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
