//! Firings that are one tick each, and the effect of failed polls on a job.

use chrono::TimeDelta;
use poller::clock::Clock;
use poller::{Ended, FiringError};
use shared::repository::polling_jobs::JobStatus;
use shared::repository::polling_runs::{self, Claim, ClaimOutcome, LastRun, RunResult, RunStatus};
use uuid::Uuid;

use crate::world::{Act, World, at, claim, forget_failures, rows};

#[tokio::test]
async fn a_firing_of_a_whole_minute_s_job_is_one_tick_at_its_scheduled_time() -> anyhow::Result<()>
{
    let (world, job) = World::with_job(60).await?;

    world.clock.set(at(61));
    assert_eq!(world.fire(&job, 0).await?.polled, 1);

    assert_eq!(world.runs(&job).await?, rows(&[(0, 1, "succeeded")]));
    assert!(
        world
            .price_log
            .events()
            .iter()
            .all(|event| event.timestamp == at(0))
    );
    Ok(())
}

#[tokio::test]
async fn every_quote_is_published_with_the_raw_response_it_was_read_from() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    world.fire(&job, 0).await?;

    let stored: Vec<Uuid> = sqlx::query_scalar("select raw_response_id from raw_responses")
        .fetch_all(&world.pool)
        .await?;

    let events = world.price_log.events();
    assert_eq!((stored.len(), events.len()), (2, 3));

    assert!(
        events
            .iter()
            .all(|event| event.raw_response_id.is_some_and(|id| stored.contains(&id)))
    );
    Ok(())
}

#[tokio::test]
async fn the_same_firing_again_polls_nothing() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;

    world.fire(&job, 0).await?;
    assert_eq!(world.fire(&job, 0).await?.polled, 0);
    Ok(())
}

#[tokio::test]
async fn a_firing_within_another_s_lease_takes_over_once_that_has_passed() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    assert_eq!(
        claim(&world.pool, job.job_id, at(0), at(0)).await?,
        ClaimOutcome::Claimed
    );

    world.clock.set(at(5));
    assert_eq!(world.fire(&job, 0).await?.polled, 1);
    assert_eq!(world.clock.now(), at(30));
    assert_eq!(world.runs(&job).await?, rows(&[(0, 1, "succeeded")]));
    Ok(())
}

#[tokio::test]
async fn a_firing_whose_tick_somebody_else_finishes_meanwhile_polls_nothing() -> anyhow::Result<()>
{
    let (world, job) = World::with_job(60).await?;
    let theirs = Claim::new(job.job_id, at(0));
    assert_eq!(
        polling_runs::claim(&world.pool, &theirs, at(0)).await?,
        ClaimOutcome::Claimed
    );

    let pool = world.pool.clone();
    world.clock.happens_at(at(20), async move {
        assert!(
            polling_runs::renew(&pool, &theirs, at(20))
                .await
                .expect("renewed")
        );
    });

    let (pool, result) = (
        world.pool.clone(),
        RunResult {
            published: 3,
            ..RunResult::default()
        },
    );

    world.clock.happens_at(at(40), async move {
        assert!(
            polling_runs::finish(&pool, &theirs, &result, at(40))
                .await
                .expect("finished")
        );
    });

    let served = world.fire(&job, 0).await?;
    assert_eq!((served.polled, served.ended), (0, Ended::Done));
    assert!(world.provider.ticks().is_empty(), "not polled twice");
    Ok(())
}

#[tokio::test]
async fn a_firing_whose_tick_is_held_past_its_deadline_comes_again() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    claim(&world.pool, job.job_id, at(0), at(0)).await?;

    let firing = poller::Firing {
        job_id: job.job_id,
        scheduled_time: at(0),
    };

    let served = world.poller.serve(&firing, at(49)).await;
    assert!(matches!(served, Err(FiringError::Held)), "{served:?}");
    Ok(())
}

#[tokio::test]
async fn a_run_that_was_not_heard_of_again_is_closed_by_the_next_tick() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    claim(&world.pool, job.job_id, at(0), at(0)).await?;

    world.fire(&job, 60).await?;

    assert_eq!(
        world.runs(&job).await?,
        rows(&[(0, 1, "abandoned"), (60, 1, "succeeded")])
    );
    Ok(())
}

#[tokio::test]
async fn a_poller_whose_claim_was_taken_over_records_nothing() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    let (pool, job_id) = (world.pool.clone(), job.job_id);
    world.clock.happens_at(at(31), async move {
        let outcome = claim(&pool, job_id, at(0), at(31)).await.expect("answered");
        assert_eq!(outcome, ClaimOutcome::Claimed);
    });

    world.provider.will([Act::Slow(TimeDelta::seconds(40))]);
    world.fire(&job, 0).await?;

    assert_eq!(world.runs(&job).await?, rows(&[(0, 1, "running")]));
    assert!(world.price_log.events().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_firing_that_was_only_late_still_polls_the_tick_recorded_as_missed() -> anyhow::Result<()>
{
    let (world, job) = World::with_job(60).await?;
    world.fire(&job, 0).await?;
    world.fire(&job, 120).await?;

    assert_eq!(world.runs(&job).await?[1], (60, 1, "missed".to_owned()));
    assert_eq!(world.fire(&job, 60).await?.polled, 1);
    assert_eq!(world.runs(&job).await?[1], (60, 1, "succeeded".to_owned()));
    Ok(())
}

#[tokio::test]
async fn a_firing_ahead_of_the_poller_s_clock_is_served_within_a_minute_and_comes_again_beyond()
-> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    let firing = |seconds| poller::Firing {
        job_id: job.job_id,
        scheduled_time: at(seconds),
    };

    let early = world.poller.serve(&firing(61), world.deadline()).await;
    assert!(
        matches!(early, Err(FiringError::NotDue(time)) if time == at(61)),
        "{early:?}"
    );

    assert_eq!(world.runs(&job).await?, []);

    assert_eq!(
        world
            .poller
            .serve(&firing(60), world.deadline())
            .await?
            .polled,
        1
    );
    Ok(())
}

#[tokio::test]
async fn firings_of_no_job_and_before_the_start_are_harmless() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    let firing = |seconds| poller::Firing {
        job_id: job.job_id,
        scheduled_time: at(seconds),
    };

    assert_eq!(
        world
            .poller
            .serve(&firing(-1), world.deadline())
            .await?
            .polled,
        0
    );

    let nobody = poller::Firing {
        job_id: Uuid::nil(),
        scheduled_time: at(0),
    };
    assert_eq!(
        world.poller.serve(&nobody, world.deadline()).await?.ended,
        Ended::NoSuchJob
    );

    assert_eq!(world.runs(&job).await?, []);
    Ok(())
}

#[tokio::test]
async fn a_symbol_that_fails_does_not_stop_the_others() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    world.provider.will([Act::NotTheFirst]);
    world.fire(&job, 0).await?;

    let job = world.job(&job).await?;

    let expected = LastRun {
        tick_time: at(0),
        status: RunStatus::Partial,
        published: 2,
        unchanged: 0,
        failed: 1,
        error: Some("script does not know the symbol AAPL".to_owned()),
    };

    assert_eq!(job.last_run, Some(expected));
    assert_eq!(job.status(at(1)), JobStatus::Active);
    Ok(())
}

#[tokio::test]
async fn with_kafka_away_the_tick_is_a_failed_run_and_no_more_is_asked() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    world.price_log.fail_next(2);
    world.fire(&job, 0).await?;

    let last_run = world.job(&job).await?.last_run.expect("a run");
    assert_eq!(
        (last_run.status, last_run.published, last_run.failed),
        (RunStatus::Failed, 0, 3)
    );

    assert!(last_run.error.expect("an error").contains("Kafka"));
    assert_eq!(world.provider.ticks(), [0]);
    Ok(())
}

#[tokio::test]
async fn a_failing_job_backs_off_and_returns_to_its_interval_by_itself() -> anyhow::Result<()> {
    let (world, job) = World::with_job(10).await?;
    world
        .provider
        .will((0..5).map(|_| Act::Fail(world.provider.away())));
    let pool = world.pool.clone();
    world.clock.happens_at(at(60), async move {
        forget_failures(&pool).await.expect("no failures");
    });
    world.fire(&job, 0).await?;

    // Three failed runs: at 0 and 10 of two requests each, and at 30, after a back-off of two
    // intervals, of one that opens the breaker. Then a back-off of four intervals.
    assert_eq!(
        world.runs(&job).await?,
        rows(&[
            (0, 1, "failed"),
            (10, 1, "failed"),
            (20, 1, "skipped"),
            (30, 1, "failed"),
            (40, 3, "skipped"),
            (70, 1, "succeeded"),
            (80, 1, "succeeded"),
            (90, 1, "succeeded"),
            (100, 1, "succeeded"),
            (110, 1, "succeeded"),
            (120, 1, "succeeded"),
        ])
    );
    Ok(())
}

#[tokio::test]
async fn a_provider_that_limits_us_is_left_alone_for_as_long_as_it_asked() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    world.provider.will([Act::Fail(world.provider.limit(900))]);
    world.fire(&job, 0).await?;
    assert_eq!(world.provider.ticks().len(), 1, "not asked for the rest");

    let limited = world.job(&job).await?;
    // Until its next run, also once no further tick is skipped.
    for second in [1, 839, 840, 899] {
        assert_eq!(limited.status(at(second)), JobStatus::BackingOff);
    }
    assert_eq!(limited.next_tick_at(at(1)), at(900));

    assert_eq!(world.fire(&job, 840).await?.polled, 0);
    forget_failures(&world.pool).await?;
    assert_eq!(world.fire(&job, 900).await?.polled, 1);

    assert_eq!(
        world.runs(&job).await?,
        rows(&[(0, 1, "failed"), (60, 14, "skipped"), (900, 1, "succeeded")])
    );
    assert_eq!(world.job(&job).await?.status(at(901)), JobStatus::Active);
    Ok(())
}

#[tokio::test]
async fn a_limit_after_some_symbols_were_published_holds_the_provider_and_not_the_job()
-> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    world.provider.will([
        Act::Slow(TimeDelta::zero()),
        Act::Fail(world.provider.limit(900)),
    ]);

    world.fire(&job, 0).await?;

    let limited = world.job(&job).await?;
    assert_eq!(
        limited.last_run.as_ref().map(|run| run.status),
        Some(RunStatus::Partial)
    );
    assert_eq!(
        (limited.consecutive_failures, limited.next_tick_at(at(1))),
        (0, at(60))
    );
    assert_eq!(limited.status(at(1)), JobStatus::Active);

    // The breaker leaves the provider alone.
    world.fire(&job, 60).await?;
    assert_eq!(world.provider.ticks(), [0, 0]);
    Ok(())
}

#[tokio::test]
async fn a_single_failure_that_skips_no_tick_is_no_backing_off() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    world
        .provider
        .will((0..2).map(|_| Act::Fail(world.provider.away())));
    world.fire(&job, 0).await?;

    let failed = world.job(&job).await?;

    assert_eq!(
        (failed.consecutive_failures, failed.next_tick_at(at(1))),
        (1, at(60))
    );
    assert_eq!(failed.status(at(1)), JobStatus::Active);
    Ok(())
}

#[tokio::test]
async fn a_job_whose_provider_is_gone_fails_and_says_so() -> anyhow::Result<()> {
    let (mut world, job) = World::with_job(60).await?;
    world.poller.providers = shared::provider::Providers::of(vec![], "script".parse()?);
    world.fire(&job, 0).await?;

    let last_run = world.job(&job).await?.last_run.expect("a run");
    assert_eq!(
        last_run.error.as_deref(),
        Some("there is no provider script")
    );
    Ok(())
}
