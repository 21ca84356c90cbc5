//! Paths to handlers, and what holds for all of them: a limit on bodies, and problems where nothing else answers.

use std::any::Any;
use std::sync::Arc;

use axum::body::HttpBody;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::Uri;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::contract::{Contract, Document};
use crate::problem::{MAX_BODY_BYTES, Problem};
use crate::state::AppState;
use crate::{average, contract, docs, health, history, latest, polling_jobs, symbols};

/// The whole API over `state`.
pub fn router(state: AppState) -> Router {
    let (routes, openapi) = documented_routes().split_for_parts();
    // Writing the document cannot fail; were it to, the page would say so and prices would still be served.
    let document = openapi.to_json().unwrap_or_default();
    routes
        .with_state(Arc::new(state))
        .layer(Extension(Document(document.into())))
        .fallback(async |uri: Uri| Problem::no_path(uri.path()))
        .method_not_allowed_fallback(async || Problem::wrong_method())
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(limit_body))
        .layer(CatchPanicLayer::custom(internal))
}

/// Every route comes with its description, so that none can be missing from the contract.
fn documented_routes() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::with_openapi(Contract::openapi())
        .routes(routes!(latest::latest))
        .routes(routes!(average::average))
        .routes(routes!(history::history))
        .routes(routes!(symbols::symbols))
        .routes(routes!(polling_jobs::create, polling_jobs::list))
        .routes(routes!(polling_jobs::get, polling_jobs::delete))
        .routes(routes!(health::health))
        .routes(routes!(contract::document))
        .routes(routes!(docs::page))
        .routes(routes!(docs::part))
}

/// Refuses a body that is known to be too large, whether or not the handler reads it.
async fn limit_body(request: Request, next: Next) -> Response {
    let least = usize::try_from(request.body().size_hint().lower()).unwrap_or(usize::MAX);
    if least > MAX_BODY_BYTES {
        return Problem::body_too_large(MAX_BODY_BYTES).into_response();
    }
    next.run(request).await
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that the layer calls")]
fn internal(panic: Box<dyn Any + Send>) -> Response {
    let message =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = message, "a handler panicked");
    Problem::internal().into_response()
}
