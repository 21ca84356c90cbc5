//! The schedules of relays, and those that jobs had before a relay served them.

use std::collections::{HashMap, HashSet};

use shared::market::Timestamp;
use shared::repository::polling_jobs::{self, PollingJob};
use shared::repository::relays::{self, Relay};
use shared::schedules::{Named, Schedules};
use sqlx::PgPool;
use tokio::time::Instant;
use tracing::{info, warn};
use uuid::Uuid;

use super::{Outcomes, ReconciliationError, in_time};

/// Creates the missing schedules of relays, updates those that differ, and deletes those whose relay
/// is gone. There are few relays, so all are compared. `listed` has the names of the schedules.
pub(super) async fn reconcile(
    pool: &PgPool,
    schedules: &Schedules,
    listed: &HashMap<&str, bool>,
    now: impl Fn() -> Timestamp,
    until: Instant,
    outcomes: &mut Outcomes,
) -> Result<(), ReconciliationError> {
    let relays = relays::list(pool).await?;
    let scheduled = scheduled_relays(listed);

    for relay in &relays {
        let subject = format!("relay {}", relay.relay_id);
        if scheduled.contains(&relay.relay_id) {
            let repaired = in_time(until, repair(pool, schedules, relay, &now)).await;
            outcomes.mended.repaired += usize::from(outcomes.unless_refused(repaired, subject)?);
        } else {
            let created = in_time(until, restore(schedules, relay, &now)).await;
            outcomes.mended.created += usize::from(outcomes.unless_refused(created, subject)?);
        }
    }

    let known: HashSet<i32> = relays.iter().map(|relay| relay.relay_id).collect();
    for relay_id in scheduled.difference(&known) {
        let removed = in_time(until, remove(pool, schedules, *relay_id)).await;
        let subject = format!("relay {relay_id}");
        outcomes.mended.removed += usize::from(outcomes.unless_refused(removed, subject)?);
    }
    Ok(())
}

/// Deletes the schedules that jobs of relays have of their own: an earlier version created them, or
/// the job had an interval of whole minutes before. Until then each of their firings serves the
/// whole relay, so no tick is lost before the relay's own schedule fires: one that was not listed
/// has just been created, and the jobs' own ones stay until the next run.
pub(super) async fn remove_outdated(
    pool: &PgPool,
    schedules: &Schedules,
    listed: &HashMap<&str, bool>,
    jobs: &[PollingJob],
    until: Instant,
    outcomes: &mut Outcomes,
) -> Result<(), ReconciliationError> {
    let scheduled = scheduled_relays(listed);
    let outdated = jobs.iter().filter(|job| {
        job.grid().is_relayed() && listed.contains_key(job.job_id.to_string().as_str())
    });

    for job in outdated {
        let job_id = job.job_id;
        let removed = in_time(until, remove_own(pool, schedules, &scheduled, job_id)).await;
        outcomes.mended.removed += usize::from(outcomes.unless_refused(removed, job_id)?);
    }
    Ok(())
}

fn scheduled_relays(listed: &HashMap<&str, bool>) -> HashSet<i32> {
    let relay = |name: &&str| match Named::read(name) {
        Some(Named::Relay(relay_id)) => Some(relay_id),
        _ => None,
    };
    listed.keys().filter_map(relay).collect()
}

async fn restore(
    schedules: &Schedules,
    relay: &Relay,
    now: impl Fn() -> Timestamp,
) -> Result<bool, ReconciliationError> {
    let (relay_id, start_at) = (relay.relay_id, relay.firings().next_from(now()));
    Box::pin(schedules.create_relay(relay_id, start_at)).await?;
    info!(relay_id, %start_at, "created the missing schedule of relay {relay_id}");
    Ok(true)
}

/// Updates a schedule that differs from its relay's; returns whether it did.
async fn repair(
    pool: &PgPool,
    schedules: &Schedules,
    relay: &Relay,
    now: impl Fn() -> Timestamp,
) -> Result<bool, ReconciliationError> {
    let (relay_id, firings) = (relay.relay_id, relay.firings());
    let differences = schedules.differences_of_relay(relay_id, &firings, now());
    let Some(differences) = Box::pin(differences)
        .await?
        .filter(|differences| !differences.is_empty())
    else {
        return Ok(false);
    };

    if relays::get(pool, relay_id).await?.is_none() {
        return Ok(false);
    }

    let start_at = firings.next_from(now());
    let repaired = Box::pin(schedules.update_relay(relay_id, start_at)).await?;
    if repaired {
        warn!(relay_id, %start_at, ?differences, "repaired the schedule of relay {relay_id}");
    }
    Ok(repaired)
}

/// Deletes the schedule of a relay that does not exist; returns whether it did.
async fn remove(
    pool: &PgPool,
    schedules: &Schedules,
    relay_id: i32,
) -> Result<bool, ReconciliationError> {
    if relays::get(pool, relay_id).await?.is_some() {
        return Ok(false);
    }

    Box::pin(schedules.delete_relay(relay_id)).await?;
    info!(
        relay_id,
        "removed the schedule of relay {relay_id}, which does not exist"
    );
    Ok(true)
}

/// Deletes a job's own schedule if its relay has one; returns whether it did.
async fn remove_own(
    pool: &PgPool,
    schedules: &Schedules,
    scheduled: &HashSet<i32>,
    job_id: Uuid,
) -> Result<bool, ReconciliationError> {
    let relay = relays::of_job(pool, job_id).await?;
    if !relay.is_some_and(|relay| scheduled.contains(&relay.relay_id)) {
        return Ok(false);
    }

    // Read again: the schedule of a job that has whole minutes by now is its own again.
    let job = polling_jobs::get(pool, job_id).await?;
    if !job.is_some_and(|job| job.grid().is_relayed()) {
        return Ok(false);
    }

    Box::pin(schedules.delete(job_id)).await?;
    info!(%job_id, "removed the schedule of job {job_id}, which a relay serves");
    Ok(true)
}
