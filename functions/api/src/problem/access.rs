//! The problems of requests that are not let in. Those about a key do not say why it is not valid:
//! who has a key that is not theirs learns nothing from it.

use std::time::Duration;

use shared::access::Scope;
use shared::repository::api_keys::ApiKey;

use super::{Problem, StatusCode};

impl Problem {
    pub(crate) const INVALID_KEY: &'static str = "/docs#invalid-api-key";

    pub(crate) fn no_key_made() -> Self {
        let detail = "no API key was made yet, so only requests that come through loopback are answered; make one \
                      where the database is: cargo run -- keys create --name my-key --scope read, or deploy with \
                      FirstAdminKey (see docs/access.md)";
        let status = StatusCode::UNAUTHORIZED;
        Self::new(
            status,
            "/docs#no-api-key-made",
            "No API key was made",
            detail,
        )
    }

    pub(crate) fn key_required() -> Self {
        let detail = "this needs an API key, as Authorization: Bearer <key> or X-API-Key: <key>";
        let status = StatusCode::UNAUTHORIZED;
        Self::new(status, "/docs#api-key-required", "API key required", detail)
    }

    pub(crate) fn invalid_key() -> Self {
        let detail = "the API key is not valid; whoever runs this API can make another one";
        let status = StatusCode::UNAUTHORIZED;
        Self::new(status, Self::INVALID_KEY, "Invalid API key", detail)
    }

    pub(crate) fn scope_too_small(key: &ApiKey, needed: Scope) -> Self {
        let (name, has) = (&key.name, key.scope);
        let detail =
            format!("the API key {name} has the scope {has}, and this needs the scope {needed}");
        Self::scope(detail)
    }

    pub(crate) fn key_too_strong_for_the_query(key: &ApiKey) -> Self {
        let (name, has) = (&key.name, key.scope);
        let detail = format!(
            "the API key {name} has the scope {has}, and in the query only keys of the scope read are accepted; send it \
             as Authorization: Bearer <key>"
        );
        Self::scope(detail)
    }

    fn scope(detail: String) -> Self {
        let status = StatusCode::FORBIDDEN;
        Self::new(status, "/docs#wrong-scope", "Wrong scope", detail)
    }

    pub(crate) fn too_many_requests(key: &ApiKey, wait: Duration) -> Self {
        let (name, limits) = (&key.name, key.limits);
        let detail = format!(
            "the API key {name} may be used {limits}, by all its users together; try again after Retry-After seconds"
        );
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self::new(
            status,
            "/docs#too-many-requests",
            "Too many requests",
            detail,
        )
        .after(wait)
    }

    /// `WWW-Authenticate` of this problem (RFC 6750, section 3), if its status asks for one.
    pub(super) fn challenge(&self) -> Option<&'static str> {
        let invalid = self.kind == Self::INVALID_KEY;
        (self.status == StatusCode::UNAUTHORIZED.as_u16()).then_some(if invalid {
            r#"Bearer realm="market data", error="invalid_token""#
        } else {
            r#"Bearer realm="market data""#
        })
    }
}
