//! The invocations of a relay, one job at a time. Its firings come from the job's own schedule, as
//! earlier versions created them, or from the relay's.

use chrono::TimeDelta;
use poller::clock::Clock;
use poller::{Ended, Firing, FiringError};
use shared::repository::{polling_jobs, relays};

use crate::world::{Act, World, at, claim, rows};

#[tokio::test]
async fn a_relay_serves_each_tick_until_two_minutes_after_its_firing() -> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;

    let served = world.fire(&job, 0).await?;
    assert_eq!((served.polled, served.ended), (18, Ended::Done));

    let runs = world.runs(&job).await?;
    assert_eq!(
        runs.iter().map(|run| run.0).collect::<Vec<_>>(),
        (0..18).map(|k| k * 7).collect::<Vec<_>>()
    );
    assert!(runs.iter().all(|run| run.2 == "succeeded"), "{runs:?}");

    assert_eq!(world.price_log.events().len(), 18 * 3);
    Ok(())
}

#[tokio::test]
async fn a_relay_ends_within_a_second_after_a_later_firing_was_noted() -> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;
    let relay = world.relay_of(&job).await?;

    let pool = world.pool.clone();
    world.clock.happens_at(at(61), async move {
        relays::note_firing(&pool, relay.relay_id, at(60))
            .await
            .expect("noted");
    });

    let served = world.fire(&job, 0).await?;
    assert_eq!((served.polled, served.ended), (9, Ended::Relieved));
    assert_eq!(world.provider.ticks().last(), Some(&56));
    assert_eq!(world.clock.now(), at(61));
    Ok(())
}

#[tokio::test]
async fn no_tick_is_lost_or_polled_twice_when_firings_come_up_to_a_minute_late()
-> anyhow::Result<()> {
    for late in [0, 13, 59] {
        let (world, job) = World::with_job(7).await?;

        let next = world.poller.clone();
        let (arrived, arrival) = tokio::sync::oneshot::channel();

        let firing = Firing {
            job_id: job.job_id,
            scheduled_time: at(60),
        };
        let deadline = at(60 + late + 180);

        let relieving = tokio::spawn(async move {
            arrival.await.expect("arrival");
            next.serve(&firing, deadline).await
        });

        world.clock.happens_at(at(60 + late), async move {
            arrived.send(()).expect("a waiting poller");
        });

        world.fire(&job, 0).await?;
        relieving.await??;

        let runs = world.runs(&job).await?;
        assert!(runs.iter().all(|run| run.2 == "succeeded"), "{runs:?}");
        assert_eq!(runs.len(), 26, "ticks 0 to 175: {runs:?}");
        assert_eq!(world.provider.ticks().len(), 26 * 2, "two requests a tick");
    }
    Ok(())
}

#[tokio::test]
async fn a_late_relay_polls_the_newest_past_tick_and_records_the_others_as_missed()
-> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;

    world.clock.set(at(3_600));
    let served = world.fire(&job, 0).await?;
    assert_eq!((served.polled, served.ended), (1, Ended::Done));

    assert_eq!(
        world.runs(&job).await?,
        rows(&[(0, 514, "missed"), (3_598, 1, "succeeded")])
    );
    Ok(())
}

#[tokio::test]
async fn ticks_overrun_by_a_slow_one_are_one_row_of_missed_ones() -> anyhow::Result<()> {
    let (world, job) = World::with_job(25).await?;
    world
        .provider
        .will((0..2).map(|_| Act::Slow(TimeDelta::seconds(29))));

    world.fire(&job, 0).await?;

    assert_eq!(
        world.runs(&job).await?,
        rows(&[
            (0, 1, "succeeded"),
            (25, 1, "missed"),
            (50, 1, "succeeded"),
            (75, 1, "succeeded"),
            (100, 1, "succeeded")
        ])
    );
    Ok(())
}

#[tokio::test]
async fn a_relay_whose_every_poll_is_slow_still_ends() -> anyhow::Result<()> {
    let (world, job) = World::with_job(1).await?;
    world
        .provider
        .will((0..200).map(|_| Act::Slow(TimeDelta::seconds(2))));

    let served = world.fire(&job, 0).await?;
    assert_eq!(served.ended, Ended::Done);
    // A fetch takes four seconds, and serves the ticks that fell due while it lasted.
    assert!(served.polled <= 61, "{served:?}");
    Ok(())
}

#[tokio::test]
async fn a_deleted_job_is_not_polled_again() -> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;
    let (pool, job_id) = (world.pool.clone(), job.job_id);

    world.clock.happens_at(at(10), async move {
        assert!(polling_jobs::delete(&pool, job_id).await.expect("deleted"));
    });

    let served = world.fire(&job, 0).await?;
    assert_eq!((served.polled, served.ended), (2, Ended::Done));
    Ok(())
}

#[tokio::test]
async fn a_poller_stopped_while_it_waits_leaves_its_firing_unanswered() -> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;
    let stopping = world.poller.stopping.clone();

    world
        .clock
        .happens_at(at(10), async move { stopping.cancel() });

    assert!(matches!(
        world.fire(&job, 0).await,
        Err(FiringError::Stopping)
    ));

    assert_eq!(
        world.runs(&job).await?,
        rows(&[(0, 1, "succeeded"), (7, 1, "succeeded")])
    );
    assert_eq!(world.clock.now(), at(10), "at once, not at the next tick");
    Ok(())
}

#[tokio::test]
async fn a_poller_that_is_being_stopped_begins_no_tick() -> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;

    world.poller.stopping.cancel();

    assert!(matches!(
        world.fire(&job, 0).await,
        Err(FiringError::Stopping)
    ));
    assert_eq!(world.runs(&job).await?, []);
    Ok(())
}

#[tokio::test]
async fn a_poller_stopped_in_the_middle_of_a_poll_records_what_it_had() -> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;
    let stopping = world.poller.stopping.clone();

    world
        .clock
        .happens_at(at(1), async move { stopping.cancel() });

    world.provider.will([Act::Slow(TimeDelta::seconds(2))]);

    assert!(matches!(
        world.fire(&job, 0).await,
        Err(FiringError::Stopping)
    ));

    assert_eq!(world.runs(&job).await?, rows(&[(0, 1, "partial")]));
    Ok(())
}

#[tokio::test]
async fn a_relay_outlasts_an_absence_of_postgres() -> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;
    let rename = async |pool: &sqlx::PgPool, statement: &'static str| {
        sqlx::query(statement).execute(pool).await.expect("renamed");
    };

    // A missing table counts as an unavailable Postgres, and does not need Postgres to be stopped.
    let pool = world.pool.clone();
    world.clock.happens_at(at(8), async move {
        rename(&pool, "alter table polling_runs rename to hidden").await;
    });

    let pool = world.pool.clone();
    world.clock.happens_at(at(25), async move {
        rename(&pool, "alter table hidden rename to polling_runs").await;
    });

    let served = world.fire(&job, 0).await?;
    assert_eq!(served.ended, Ended::Done);

    let runs = world.runs(&job).await?;
    assert_eq!(
        runs[2..5],
        rows(&[
            (14, 1, "missed"),
            (21, 1, "succeeded"),
            (28, 1, "succeeded")
        ]),
        "{runs:?}"
    );

    assert_eq!(runs.last(), Some(&(119, 1, "succeeded".to_owned())));
    Ok(())
}

#[tokio::test]
async fn a_relay_takes_a_killed_poller_s_tick_over_if_its_lease_ends_before_the_next_one()
-> anyhow::Result<()> {
    let (world, job) = World::with_job(90).await?;
    claim(&world.pool, job.job_id, at(90), at(110)).await?;

    world.fire(&job, 120).await?;
    assert_eq!(
        world.runs(&job).await?,
        rows(&[
            (0, 1, "missed"),
            (90, 1, "succeeded"),
            (180, 1, "succeeded")
        ])
    );
    Ok(())
}

#[tokio::test]
async fn a_relay_misses_no_later_tick_for_one_that_another_poller_holds() -> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;
    claim(&world.pool, job.job_id, at(119), at(119)).await?;

    world.fire(&job, 120).await?;
    let runs = world.runs(&job).await?;
    assert_eq!(
        runs[..4],
        rows(&[
            (0, 17, "missed"),
            (119, 1, "abandoned"),
            (126, 1, "succeeded"),
            (133, 1, "succeeded"),
        ])
    );
    Ok(())
}
