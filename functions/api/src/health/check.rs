//! How one part is.

use serde::Serialize;
use utoipa::ToSchema;

/// One part.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Check {
    /// Whether it answers.
    pub(super) status: Status,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub(super) detail: Option<String>,
}

/// Whether something answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// It does.
    Ok,
    /// It is late, or fails now and then.
    Degraded,
    /// It does not.
    Unavailable,
}

impl Check {
    pub(super) fn ok() -> Self {
        Self {
            status: Status::Ok,
            detail: None,
        }
    }

    pub(super) fn degraded(detail: Option<String>) -> Self {
        Self {
            status: Status::Degraded,
            detail,
        }
    }

    pub(super) fn of<E: Into<String>>(result: Result<(), E>) -> Self {
        match result {
            Ok(()) => Self::ok(),
            Err(detail) => Self {
                status: Status::Unavailable,
                detail: Some(detail.into()),
            },
        }
    }
}
