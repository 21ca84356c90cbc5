//! Reads several jobs at once.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::{JobRow, PollingJob};
use crate::repository::Error;

/// Those of the jobs that exist, in no order.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn get_all(
    executor: impl PgExecutor<'_>,
    job_ids: &[Uuid],
) -> Result<Vec<PollingJob>, Error> {
    let rows: Vec<JobRow> =
        sqlx::query_as("select * from polling_job_states where job_id = any($1)")
            .bind(job_ids)
            .fetch_all(executor)
            .await?;
    rows.into_iter().map(PollingJob::try_from).collect()
}
