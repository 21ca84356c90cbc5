//! Claims under contention.

use futures::future::join_all;
use shared::repository::polling_runs::{self, ClaimOutcome, RunResult};

use crate::world::{World, at, rows};

#[tokio::test]
async fn of_many_claims_of_one_tick_one_holds() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    let claims =
        join_all((0..8).map(|_| polling_runs::claim(&world.pool, job.job_id, at(120), at(120)))).await;
    let claimed = claims.iter().filter(|claim| matches!(claim, Ok(ClaimOutcome::Claimed(_)))).count();
    assert_eq!((claimed, claims.iter().filter(|claim| claim.is_err()).count()), (1, 0));
    assert_eq!(world.runs(&job).await?, rows(&[(0, 2, "missed"), (120, 1, "running")]));
    Ok(())
}

#[tokio::test]
async fn claims_of_neighbouring_ticks_leave_every_tick_in_one_row() -> anyhow::Result<()> {
    let (world, job) = World::with_job(1).await?;
    join_all((0..20).map(|tick| polling_runs::claim(&world.pool, job.job_id, at(tick), at(tick)))).await;
    let runs = world.runs(&job).await?;
    let mut next = 0;
    for (tick, ticks, _) in &runs {
        assert_eq!(*tick, next, "{runs:?}");
        next = tick + ticks;
    }
    assert_eq!(next, 20);
    Ok(())
}

#[tokio::test]
async fn a_renewed_claim_outlasts_its_first_lease() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    let ClaimOutcome::Claimed(claim) = polling_runs::claim(&world.pool, job.job_id, at(0), at(0)).await?
    else {
        panic!("not claimed");
    };
    assert!(polling_runs::renew(&world.pool, &claim, at(20)).await?);
    assert_eq!(polling_runs::claim(&world.pool, job.job_id, at(0), at(49)).await?, ClaimOutcome::Taken);
    assert!(polling_runs::finish(&world.pool, &claim, &RunResult::default(), at(49)).await?);
    assert!(!polling_runs::renew(&world.pool, &claim, at(49)).await?, "a finished run");
    assert!(!polling_runs::finish(&world.pool, &claim, &RunResult::default(), at(49)).await?);
    Ok(())
}
