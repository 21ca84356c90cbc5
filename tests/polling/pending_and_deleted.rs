//! Jobs that are pending or deleted: they are invisible and are not polled.

use poller::Ended;
use shared::repository::polling_jobs::removal::{Removed, remove_marked};
use shared::repository::polling_jobs::{self, JobLimits, prepare};
use shared::repository::polling_runs::{self, Claim, ClaimOutcome, RunResult};
use sqlx::PgPool;
use uuid::Uuid;

use crate::world::{World, at, claim, new_job};

async fn assert_nobody_sees(pool: &PgPool, job_id: Uuid) -> anyhow::Result<()> {
    assert_eq!(polling_jobs::get(pool, job_id).await?, None);

    assert!(polling_jobs::list(pool, None, 10).await?.is_empty());

    assert_eq!(
        polling_jobs::stalled(pool, at(1_000_000)).await?,
        (0, vec![])
    );

    assert_eq!(
        claim(pool, job_id, at(0), at(0)).await?,
        ClaimOutcome::NoSuchJob
    );

    assert!(!polling_jobs::delete(pool, job_id).await?);
    Ok(())
}

async fn let_minutes_pass(pool: &PgPool, minutes: i32) -> anyhow::Result<()> {
    let age = "update polling_jobs set pending_since = pending_since - make_interval(mins => $1)";
    sqlx::query(age).bind(minutes).execute(pool).await?;
    Ok(())
}

#[tokio::test]
async fn a_deleted_job_is_nobody_s_at_once_and_its_runs_go_with_upkeep() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    world.fire(&job, 0).await?;
    world.fire(&job, 60).await?;

    assert!(polling_jobs::delete(&world.pool, job.job_id).await?);
    assert_nobody_sees(&world.pool, job.job_id).await?;
    assert!(!polling_jobs::exists(&world.pool, job.job_id).await?);

    assert_eq!(world.fire(&job, 120).await?.ended, Ended::NoSuchJob);
    assert_eq!(world.runs(&job).await?.len(), 2);

    assert_eq!(
        remove_marked(&world.pool).await?,
        Removed {
            jobs: 1,
            runs: 2,
            ..Removed::default()
        }
    );

    assert_eq!(world.runs(&job).await?, []);
    assert_eq!(remove_marked(&world.pool).await?, Removed::default());
    Ok(())
}

#[tokio::test]
async fn a_run_of_a_job_that_is_deleted_meanwhile_ends() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    let ours = Claim::new(job.job_id, at(0));

    assert_eq!(
        polling_runs::claim(&world.pool, &ours, at(0)).await?,
        ClaimOutcome::Claimed
    );

    assert!(polling_jobs::delete(&world.pool, job.job_id).await?);
    assert!(!polling_runs::renew(&world.pool, &ours, at(1)).await?);
    assert!(!polling_runs::finish(&world.pool, &ours, &RunResult::default(), at(1)).await?);
    Ok(())
}

#[tokio::test]
async fn a_deleted_job_leaves_the_others_their_runs() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;

    world.fire(&job, 0).await?;
    let other = polling_jobs::insert(&world.pool, &new_job(60), 0).await?;
    world.fire(&other, 0).await?;
    polling_jobs::delete(&world.pool, job.job_id).await?;

    assert_eq!(remove_marked(&world.pool).await?.runs, 1);
    assert_eq!(world.runs(&other).await?.len(), 1);
    assert_eq!(
        polling_jobs::list(&world.pool, None, 10).await?,
        [world.job(&other).await?]
    );
    Ok(())
}

#[tokio::test]
async fn a_job_is_nobody_s_before_its_activation() -> anyhow::Result<()> {
    let pool = e2e::postgres::database().await?;
    let job = new_job(60);
    let prepared = prepare(&pool, &job, None, &JobLimits::NONE, 200).await?;

    assert_eq!(
        (prepared.job_id, prepared.start_at, prepared.pending),
        (job.job_id, at(0), true)
    );

    assert_nobody_sees(&pool, job.job_id).await?;
    assert!(
        polling_jobs::exists(&pool, job.job_id).await?,
        "so that its schedule is left alone"
    );

    for _ in 0..2 {
        assert!(polling_jobs::activate(&pool, job.job_id).await?);
        assert_eq!(polling_jobs::list(&pool, None, 10).await?.len(), 1);
    }

    assert!(
        !polling_jobs::withdraw(&pool, job.job_id).await?,
        "too late"
    );
    Ok(())
}

#[tokio::test]
async fn a_job_that_was_never_activated_is_removed_with_its_key() -> anyhow::Result<()> {
    let pool = e2e::postgres::database().await?;
    let job = new_job(60);
    prepare(&pool, &job, Some("k"), &JobLimits::NONE, 200).await?;

    let_minutes_pass(&pool, 4).await?;
    assert_eq!(remove_marked(&pool).await?, Removed::default());

    let_minutes_pass(&pool, 2).await?;
    assert_eq!(
        remove_marked(&pool).await?,
        Removed {
            pending: 1,
            ..Removed::default()
        }
    );

    assert!(!polling_jobs::activate(&pool, job.job_id).await?);
    let keys: i64 = sqlx::query_scalar("select count(*) from polling_job_keys")
        .fetch_one(&pool)
        .await?;
    assert_eq!(keys, 0);
    Ok(())
}

#[tokio::test]
async fn a_firing_before_its_job_s_activation_waits_for_that() -> anyhow::Result<()> {
    let (world, _) = World::with_job(60).await?;
    let job = new_job(60);
    prepare(&world.pool, &job, None, &JobLimits::NONE, 200).await?;
    let (pool, job_id) = (world.pool.clone(), job.job_id);

    world.clock.happens_at(at(1), async move {
        assert!(
            polling_jobs::activate(&pool, job_id)
                .await
                .expect("activated")
        );
    });

    let firing = poller::Firing {
        job_id,
        scheduled_time: at(0),
    };

    assert_eq!(
        world.poller.serve(&firing, world.deadline()).await?.polled,
        1
    );
    Ok(())
}

#[tokio::test]
async fn a_firing_of_a_job_that_was_never_activated_polls_nothing() -> anyhow::Result<()> {
    let (world, _) = World::with_job(60).await?;
    let job = new_job(60);
    prepare(&world.pool, &job, None, &JobLimits::NONE, 200).await?;
    let_minutes_pass(&world.pool, 1).await?;

    let firing = poller::Firing {
        job_id: job.job_id,
        scheduled_time: at(0),
    };

    let served = world.poller.serve(&firing, world.deadline()).await?;
    assert_eq!((served.polled, served.ended), (0, Ended::NoSuchJob));
    assert!(world.provider.ticks().is_empty());
    Ok(())
}
