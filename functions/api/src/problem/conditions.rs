//! The problems of requests that put a condition on the answer which it does not meet.

use super::{Problem, StatusCode};

impl Problem {
    pub(crate) fn not_acceptable(offered: &str) -> Self {
        Self::plain(
            StatusCode::NOT_ACCEPTABLE,
            format!("no form of this is one that Accept lists; these can be had: {offered}"),
        )
    }

    pub(crate) fn changed() -> Self {
        Self::plain(
            StatusCode::PRECONDITION_FAILED,
            "this has changed: its ETag is not in If-Match; read it again from its beginning",
        )
    }

    pub(crate) fn beyond_the_end(size: usize) -> Self {
        Self::plain(
            StatusCode::RANGE_NOT_SATISFIABLE,
            format!("the Range begins beyond the end: there are {size} bytes"),
        )
    }
}
