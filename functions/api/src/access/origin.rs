//! Where a request came from, as whoever took it in says: API Gateway, or the emulator's gateway.
//! No client can write into this part of the event. The emulator's gateway writes there, in the place
//! where a Lambda authorizer puts what it knows; API Gateway never does.

use axum::extract::Request;
use lambda_http::RequestExt as _;
use lambda_http::request::RequestContext;

/// Where a request came from. Unless it is known, from elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin {
    /// Whether it came through a listener on loopback.
    pub(super) came_through_loopback: bool,
    /// Whether its sender is on this machine.
    pub(super) is_this_machine: bool,
}

impl Origin {
    pub(super) fn of(request: &Request) -> Self {
        let context = request.request_context_ref();
        let authorizer = context.and_then(RequestContext::authorizer);
        let says = |name: &str, value: &str| {
            let known = authorizer.and_then(|known| known.fields.get(name));
            known.is_some_and(|known| known == value)
        };

        Self {
            came_through_loopback: says("listener", "loopback"),
            is_this_machine: says("sender", "this machine"),
        }
    }

    /// Whether the sender may see how the parts behind the API are.
    pub(super) fn sees_details(self) -> bool {
        self.came_through_loopback || self.is_this_machine
    }
}
