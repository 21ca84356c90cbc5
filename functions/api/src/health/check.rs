//! The result of one check.

use serde::Serialize;
use utoipa::ToSchema;

/// The result of one check.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Check {
    /// `ok`, or how severe the failure is.
    pub(super) status: Status,
    /// What is wrong; absent if the status is `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub(super) detail: Option<String>,
}

/// The status of one part, or of the whole api.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// It works.
    Ok,
    /// It is late or fails in part, or its state is unknown.
    Degraded,
    /// It does not answer, or cannot do its work.
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
