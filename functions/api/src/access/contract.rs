//! What the contract says of keys: the ways to send one, the scope of each operation, and the
//! answers to requests that are not let in.

use axum::http::Method;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{ContentBuilder, Header, OpenApi, Ref, RefOr, Response, ResponseBuilder};

use super::needs::Need;

const BEARER: &str = "bearer";
const HEADER: &str = "header";

/// Adds the security schemes, and to each operation what it needs.
pub(crate) fn add_access(contract: &mut OpenApi) {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("mdp_<id>_<secret>")
        .description(Some(
            "An API key. Not needed on loopback as long as none was made",
        ));
    let header = ApiKeyValue::with_description("X-API-Key", "The same key, in a header of its own");

    let schemes = &mut contract.components.get_or_insert_default().security_schemes;
    let bearer = SecurityScheme::Http(bearer.build());
    schemes.insert(BEARER.to_owned(), RefOr::T(bearer));
    let header = SecurityScheme::ApiKey(ApiKey::Header(header));
    schemes.insert(HEADER.to_owned(), RefOr::T(header));

    for (path, item) in &mut contract.paths.paths {
        let operations = [
            (Method::GET, item.get.as_mut()),
            (Method::POST, item.post.as_mut()),
            (Method::PATCH, item.patch.as_mut()),
            (Method::DELETE, item.delete.as_mut()),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                describe(operation, Need::of(&method, Some(path)));
            }
        }
    }
}

/// Adds what one operation needs. The empty requirement stands for requests without a key, where
/// they are answered.
fn describe(operation: &mut Operation, need: Need) {
    let mut requirements = vec![SecurityRequirement::default()];
    if need == Need::Nothing {
        operation.security = Some(requirements);
        return;
    }

    let scope = match need {
        Need::Scope(scope) => scope.as_str(),
        Need::Nothing | Need::NothingForTheStatus => "read",
    };
    requirements.extend([BEARER, HEADER].map(|scheme| SecurityRequirement::new(scheme, [scope])));
    operation.security = Some(requirements);

    let answers = &mut operation.responses.responses;
    let unauthorized = problem(
        "A key is needed, or the one that came is not valid: `type` says which. Never why it is not valid",
    )
    .header("WWW-Authenticate", text("How to send a key"))
    .build();
    answers.insert("401".to_owned(), unauthorized.into());

    let too_many =
        problem("The key was used as often as it may be: try again after `Retry-After` seconds")
            .header("Retry-After", text("Seconds"))
            .header(
                "RateLimit-Limit",
                text("Most requests in the window that has the least left"),
            )
            .header("RateLimit-Remaining", text("How many are left in it"))
            .header(
                "RateLimit-Reset",
                text("Seconds until one is, or until all are again"),
            )
            .header(
                "RateLimit-Policy",
                text("All limits, as `5;w=1`: five in a second"),
            )
            .build();
    answers.insert("429".to_owned(), too_many.into());

    if let Need::Scope(scope) = need
        && let Some(RefOr::T(Response { description, .. })) = answers.get_mut("403")
    {
        let scope = format!("; or the key's scope does not include `{scope}`");
        description.push_str(&scope);
    }
}

fn problem(description: &str) -> ResponseBuilder {
    let problem = RefOr::Ref(Ref::from_schema_name("Problem"));
    let content = ContentBuilder::new().schema(Some(problem)).build();

    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content)
}

fn text(description: &str) -> Header {
    HeaderBuilder::from(Header::default())
        .description(Some(description))
        .build()
}
