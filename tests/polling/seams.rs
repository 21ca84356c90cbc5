//! Where one invocation of a relay follows on another, or on one that was killed.

use chrono::TimeDelta;
use poller::relay::RelayFiring;
use poller::{Ended, FiringError};
use shared::repository::polling_jobs;
use shared::repository::polling_runs::{self, Claim};

use crate::world::{Act, World, at, claim, job_of_its_own, new_job, rows};

#[tokio::test]
async fn no_tick_of_any_job_is_lost_or_doubled_where_invocations_meet() -> anyhow::Result<()> {
    for late in [0, 31, 59] {
        let (world, job) = World::with_job(7).await?;
        let relay = world.relay_of(&job).await?;
        let mut jobs = vec![job];
        for interval in [1, 2, 3, 13, 61, 3_601] {
            jobs.push(polling_jobs::insert(&world.pool, &job_of_its_own(interval), 50).await?);
        }

        let next = world.poller.clone();
        let (arrived, arrival) = tokio::sync::oneshot::channel();
        let relieving = tokio::spawn(async move {
            arrival.await.expect("arrival");
            let firing = RelayFiring {
                relay_id: relay.relay_id,
                scheduled_time: at(60),
            };
            next.serve_relay(&firing, at(60 + late + 180)).await
        });
        world.clock.happens_at(at(60 + late), async move {
            arrived.send(()).expect("a waiting poller");
        });

        let first = world.fire_relay(&relay, 0).await?;
        let second = relieving.await??;
        assert_eq!((first.ended, second.ended), (Ended::Relieved, Ended::Done));

        for job in &jobs {
            let interval = i64::from(job.interval_seconds);
            let ticks: Vec<_> = (0..=180 / interval)
                .map(|k| (k * interval, 1, "succeeded"))
                .collect();
            assert_eq!(world.runs(job).await?, rows(&ticks), "{late} s late");
        }
        let requests = world.provider.ticks().len();
        assert_eq!(requests, 2 * usize::try_from(first.polled + second.polled)?);
    }
    Ok(())
}

#[tokio::test]
async fn the_tick_of_a_killed_relay_is_taken_over_once_its_lease_expires() -> anyhow::Result<()> {
    let (world, job) = World::with_job(3_601).await?;
    let relay = world.relay_of(&job).await?;
    claim(&world.pool, job.job_id, at(3_601), at(3_601)).await?;

    let served = world.fire_relay(&relay, 3_605).await?;
    assert_eq!((served.polled, served.ended), (1, Ended::Done));

    assert_eq!(
        world.runs(&job).await?,
        rows(&[(0, 1, "missed"), (3_601, 1, "succeeded")])
    );
    let started: i64 = sqlx::query_scalar(
        "select extract(epoch from started_at - tick_time)::int8 from polling_runs where status = 'succeeded'",
    )
    .fetch_one(&world.pool)
    .await?;
    assert_eq!(started, 30, "a lease later");
    Ok(())
}

#[tokio::test]
async fn a_tick_that_another_invocation_still_serves_is_left_to_it() -> anyhow::Result<()> {
    let (world, job) = World::with_job(3_601).await?;
    let relay = world.relay_of(&job).await?;
    let theirs = Claim::new(job.job_id, at(0));
    polling_runs::claim(&world.pool, &theirs, at(0)).await?;

    for second in (10..=110).step_by(10) {
        let pool = world.pool.clone();
        world.clock.happens_at(at(second), async move {
            let renewed = polling_runs::renew(&pool, &theirs, at(second)).await;
            assert!(renewed.expect("renewed"));
        });
    }

    let served = world.fire_relay(&relay, 0).await?;
    assert_eq!((served.polled, served.ended), (0, Ended::Done));
    assert!(world.provider.ticks().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_relay_finishes_what_it_claimed_before_it_ends() -> anyhow::Result<()> {
    let (world, job) = World::with_job(3_601).await?;
    let relay = world.relay_of(&job).await?;
    world
        .provider
        .will((0..2).map(|_| Act::Slow(TimeDelta::seconds(50))));

    let pool = world.pool.clone();
    world.clock.happens_at(at(5), async move {
        shared::repository::relays::note_firing(&pool, relay.relay_id, at(60))
            .await
            .expect("noted");
    });

    let served = world.fire_relay(&relay, 0).await?;
    assert_eq!((served.polled, served.ended), (1, Ended::Relieved));
    assert_eq!(
        world.runs(&job).await?,
        rows(&[(0, 1, "succeeded")]),
        "its lease was renewed meanwhile"
    );
    Ok(())
}

#[tokio::test]
async fn a_relay_that_is_being_stopped_finishes_what_it_claimed_and_its_firing_comes_again()
-> anyhow::Result<()> {
    let (world, job) = World::with_job(3_601).await?;
    let relay = world.relay_of(&job).await?;
    world.provider.will([Act::Slow(TimeDelta::seconds(5))]);

    let stopping = world.poller.stopping.clone();
    world
        .clock
        .happens_at(at(2), async move { stopping.cancel() });

    let served = world.fire_relay(&relay, 0).await;
    assert!(matches!(served, Err(FiringError::Stopping)), "{served:?}");
    assert_eq!(world.runs(&job).await?, rows(&[(0, 1, "partial")]));
    Ok(())
}

#[tokio::test]
async fn a_job_of_an_earlier_version_gets_a_relay_at_the_firing_of_its_own_schedule()
-> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;
    let other = polling_jobs::insert(&world.pool, &new_job(7), 50).await?;
    let forget = "update polling_jobs set relay_id = null where job_id = $1";
    sqlx::query(forget)
        .bind(job.job_id)
        .execute(&world.pool)
        .await?;

    world.fire(&job, 0).await?;

    assert_eq!(
        world.relay_of(&job).await?.relay_id,
        world.relay_of(&other).await?.relay_id
    );
    for job in [&job, &other] {
        assert_eq!(world.runs(job).await?.len(), 18);
    }
    Ok(())
}

#[tokio::test]
async fn firings_of_a_relay_and_of_its_jobs_own_schedules_double_no_tick() -> anyhow::Result<()> {
    let (world, job) = World::with_job(1).await?;
    let relay = world.relay_of(&job).await?;

    let mut invocations = Vec::new();
    for second in [3, 10, 11, 30] {
        let (poller, job_id) = (world.poller.clone(), job.job_id);
        let (arrived, arrival) = tokio::sync::oneshot::channel();
        invocations.push(tokio::spawn(async move {
            arrival.await.expect("arrival");
            let firing = poller::Firing {
                job_id,
                scheduled_time: at(second),
            };
            poller.serve(&firing, at(second + 180)).await
        }));
        world.clock.happens_at(at(second), async move {
            arrived.send(()).expect("a waiting poller");
        });
    }

    world.fire_relay(&relay, 0).await?;
    for invocation in invocations {
        invocation.await??;
    }

    let ticks: Vec<_> = (0..=150).map(|tick| (tick, 1, "succeeded")).collect();
    assert_eq!(world.runs(&job).await?, rows(&ticks));
    Ok(())
}
