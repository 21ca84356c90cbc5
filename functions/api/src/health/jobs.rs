//! Whether polling jobs are polled when they are due.

use chrono::Utc;
use serde::Serialize;
use shared::repository::polling_jobs;
use tokio::time::timeout;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{CHECK_TIMEOUT, Check};
use crate::state::AppState;

/// Whether the ticks of polling jobs are polled.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Jobs {
    #[serde(flatten)]
    pub(super) check: Check,
    /// Number of stalled jobs; null if Postgres does not answer.
    stalled: Option<u64>,
    /// Up to five stalled jobs, the one that has been overdue longest first.
    /// `GET /prices/poll/{job_id}` shows details.
    #[schema(value_type = Vec<String>)]
    job_ids: Vec<Uuid>,
}

pub(super) async fn check(state: &AppState) -> Jobs {
    match timeout(CHECK_TIMEOUT, polling_jobs::stalled(&state.db, Utc::now())).await {
        Ok(Ok((0, job_ids))) => Jobs {
            check: Check::ok(),
            stalled: Some(0),
            job_ids,
        },
        Ok(Ok((stalled, job_ids))) => {
            let jobs = if stalled == 1 {
                "1 job is"
            } else {
                &format!("{stalled} jobs are")
            };

            let check = Check::degraded(Some(format!("{jobs} overdue, and not being polled")));
            Jobs {
                check,
                stalled: Some(stalled),
                job_ids,
            }
        }
        Ok(Err(_)) | Err(_) => {
            let check = Check::degraded(Some(
                "Postgres does not tell which jobs are overdue".to_owned(),
            ));

            Jobs {
                check,
                stalled: None,
                job_ids: Vec::new(),
            }
        }
    }
}
