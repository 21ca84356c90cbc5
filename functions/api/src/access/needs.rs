//! What each route needs.

use axum::http::Method;
use shared::access::Scope;

/// What a request needs to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// No key: the answer holds no data.
    Nothing,
    /// No key, but with one the answer tells more.
    NothingForTheStatus,
    /// A key of this scope.
    Scope(Scope),
}

/// The routes that need no key.
const OPEN: [&str; 6] = [
    "/",
    "/page/{version}/{folder}/{file}",
    "/docs",
    "/docs/{file}",
    "/openapi.json",
    "/llms.txt",
];
/// The route for load balancers and health checks.
const STATUS: &str = "/health";
/// What repairs data: everything at these paths and below them that is not only read.
const REPAIR: [&str; 3] = ["/verify", "/rejected", "/dead-letters"];

impl Need {
    /// What a request to the route `path` needs. A request without a route needs a key too, so that
    /// an answer to a stranger does not tell which routes exist.
    pub(super) fn of(method: &Method, path: Option<&str>) -> Self {
        let path = path.unwrap_or_default();
        if OPEN.contains(&path) {
            return Self::Nothing;
        }
        if path == STATUS {
            return Self::NothingForTheStatus;
        }

        let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
        let repairs = REPAIR.iter().any(|place| {
            let below = path.strip_prefix(place);
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        Self::Scope(match (reads, repairs) {
            (true, _) => Scope::Read,
            (false, false) => Scope::Write,
            (false, true) => Scope::Admin,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_needs_read_what_changes_needs_write_and_what_repairs_needs_admin() {
        for (method, path, scope) in [
            (Method::GET, "/prices/latest", Scope::Read),
            (Method::HEAD, "/prices/history", Scope::Read),
            (Method::GET, "/prices/poll", Scope::Read),
            (Method::POST, "/prices/poll", Scope::Write),
            (Method::PATCH, "/prices/poll/{job_id}", Scope::Write),
            (Method::DELETE, "/prices/poll/{job_id}", Scope::Write),
            (Method::POST, "/verify", Scope::Admin),
            (Method::GET, "/rejected", Scope::Read),
            (Method::POST, "/rejected/{id}/redrive", Scope::Admin),
            (Method::POST, "/dead-letters/redrive", Scope::Admin),
            (Method::POST, "/rejected_too", Scope::Write),
            (Method::POST, "/docs/more/{file}", Scope::Write),
        ] {
            let need = Need::of(&method, Some(path));
            assert_eq!(need, Need::Scope(scope), "{method} {path}");
        }

        assert_eq!(Need::of(&Method::GET, None), Need::Scope(Scope::Read));
        assert_eq!(Need::of(&Method::PUT, None), Need::Scope(Scope::Write));
    }

    #[test]
    fn what_holds_no_data_needs_no_key() {
        for path in OPEN {
            assert_eq!(Need::of(&Method::GET, Some(path)), Need::Nothing, "{path}");
        }
        let health = Need::of(&Method::GET, Some("/health"));
        assert_eq!(health, Need::NothingForTheStatus);
    }
}
