//! Keeps the relays as the jobs need them.

use shared::repository::{self, relays};
use sqlx::PgPool;
use tracing::info;

/// Gives relays to the jobs that need one and have none, which an earlier version of the functions
/// made, and removes relays without jobs. Reconciliation creates and removes the schedules.
///
/// # Errors
/// When Postgres is unavailable or refuses a statement. What was done stays done.
pub async fn maintain(pool: &PgPool, relay_jobs: u32) -> Result<(), repository::Error> {
    let mut settled = 0;
    for job_id in relays::unsettled(pool).await? {
        let relay = relays::settle_existing(pool, job_id, relay_jobs).await?;
        settled += u64::from(relay.is_some());
    }

    let removed = relays::remove_empty(pool).await?;
    if settled + removed > 0 {
        info!(
            jobs = settled,
            removed, "gave jobs relays, removed relays without jobs"
        );
    }
    Ok(())
}
