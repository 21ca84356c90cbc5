//! Claims of ticks under contention.

use futures::future::join_all;
use shared::repository::polling_runs::{self, Claim, ClaimOutcome, RunResult};

use crate::world::{World, at, claim, rows};

#[tokio::test]
async fn of_many_claims_of_one_tick_one_holds() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;

    let claims = join_all((0..8).map(|_| claim(&world.pool, job.job_id, at(120), at(120)))).await;
    let claimed = claims
        .iter()
        .filter(|claim| matches!(claim, Ok(ClaimOutcome::Claimed)))
        .count();

    assert_eq!(
        (
            claimed,
            claims.iter().filter(|claim| claim.is_err()).count()
        ),
        (1, 0)
    );

    assert_eq!(
        world.runs(&job).await?,
        rows(&[(0, 2, "missed"), (120, 1, "running")])
    );
    Ok(())
}

#[tokio::test]
async fn claims_of_neighbouring_ticks_leave_every_tick_in_one_row() -> anyhow::Result<()> {
    let (world, job) = World::with_job(1).await?;
    join_all((0..20).map(|tick| claim(&world.pool, job.job_id, at(tick), at(tick)))).await;

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

    let ours = Claim::new(job.job_id, at(0));
    assert_eq!(
        polling_runs::claim(&world.pool, &ours, at(0)).await?,
        ClaimOutcome::Claimed
    );

    assert!(polling_runs::renew(&world.pool, &ours, at(20)).await?);
    assert_eq!(
        claim(&world.pool, job.job_id, at(0), at(49)).await?,
        ClaimOutcome::Held(at(50))
    );

    let published = RunResult {
        published: 3,
        ..RunResult::default()
    };
    assert!(polling_runs::finish(&world.pool, &ours, &published, at(49)).await?);

    assert_eq!(
        claim(&world.pool, job.job_id, at(0), at(49)).await?,
        ClaimOutcome::AlreadyRecorded
    );
    assert!(
        !polling_runs::renew(&world.pool, &ours, at(49)).await?,
        "a finished run"
    );
    assert!(!polling_runs::finish(&world.pool, &ours, &RunResult::default(), at(49)).await?);
    Ok(())
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_ours_when_it_is_repeated() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    let ours = Claim::new(job.job_id, at(0));

    for second in [0, 1] {
        assert_eq!(
            polling_runs::claim(&world.pool, &ours, at(second)).await?,
            ClaimOutcome::Claimed
        );
    }

    assert_eq!(world.runs(&job).await?, rows(&[(0, 1, "running")]));
    Ok(())
}
