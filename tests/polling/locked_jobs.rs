//! A job whose row somebody has locked holds up no other job of its relay.

use std::time::Duration;

use shared::repository::polling_runs::{self, Claim};
use shared::repository::{polling_jobs, relays};
use sqlx::{PgPool, Postgres, Transaction};
use tokio::time::timeout;
use uuid::Uuid;

use crate::world::{World, at, job_of_its_own};

/// Longest that a statement may take which waits for no lock.
const PATIENCE: Duration = Duration::from_secs(60);

/// Locks the job's row as a change does, until the transaction ends. The connection is not one of
/// the world's, so the clock does not wait for it.
async fn lock(pool: &PgPool, job_id: Uuid) -> anyhow::Result<Transaction<'static, Postgres>> {
    let own = PgPool::connect_with((*pool.connect_options()).clone()).await?;
    let mut transaction = own.begin().await?;
    sqlx::query("select from polling_jobs where job_id = $1 for update")
        .bind(job_id)
        .execute(&mut *transaction)
        .await?;
    Ok(transaction)
}

#[tokio::test]
async fn a_firing_is_recorded_without_the_locks_of_the_jobs_and_each_job_shows_it()
-> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;
    let relay = world.relay_of(&job).await?;

    let locked = lock(&world.pool, job.job_id).await?;
    let noted = relays::note_firing(&world.pool, relay.relay_id, at(60));
    assert!(timeout(PATIENCE, noted).await??);
    locked.rollback().await?;

    assert_eq!(world.job(&job).await?.last_firing_at, Some(at(60)));
    Ok(())
}

#[tokio::test]
async fn claims_leave_out_a_job_that_is_locked() -> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;
    let other = polling_jobs::insert(&world.pool, &job_of_its_own(7), 200).await?;
    let claims = [&job, &other].map(|job| Claim::new(job.job_id, at(0)));

    let locked = lock(&world.pool, job.job_id).await?;
    let together = polling_runs::claim_successors(&world.pool, &claims, at(0));
    let held = timeout(PATIENCE, together).await??;
    assert!(held.into_iter().eq([claims[1].claim_id]));

    let alone = polling_runs::claim_unless_locked(&world.pool, &claims[0], at(0));
    assert_eq!(timeout(PATIENCE, alone).await??, None);
    locked.rollback().await?;
    Ok(())
}

#[tokio::test]
async fn a_relay_polls_its_other_jobs_while_one_is_locked_and_that_one_afterwards()
-> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;
    let other = polling_jobs::insert(&world.pool, &job_of_its_own(7), 200).await?;
    let relay = world.relay_of(&job).await?;

    let locked = lock(&world.pool, job.job_id).await?;
    world.clock.happens_at(at(16), async move {
        locked.rollback().await.expect("unlocked");
    });
    let served = timeout(PATIENCE, world.fire_relay(&relay, 0)).await??;
    assert!(served.polled > 0);

    let ticks: Vec<i64> = world.runs(&other).await?.iter().map(|run| run.0).collect();
    assert!(ticks.starts_with(&[0, 7, 14, 21]), "{ticks:?}");
    let runs = world.runs(&job).await?;
    assert_eq!(
        runs[..3],
        crate::world::rows(&[(0, 2, "missed"), (14, 1, "succeeded"), (21, 1, "succeeded")])
    );
    Ok(())
}
