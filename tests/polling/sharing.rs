//! Jobs whose ticks fall on the same second share requests.

use std::sync::Arc;

use poller::{Firing, Poller};
use shared::repository::polling_jobs;

use crate::world::{World, at, new_job};

#[tokio::test]
async fn jobs_that_share_a_tick_share_its_requests() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    let other = polling_jobs::insert(&world.pool, &new_job(60), 50).await?;
    // Answers come after the tick.
    world.clock.set(at(1));

    let (one, two) = tokio::join!(world.fire(&job, 0), world.fire(&other, 0));
    assert_eq!((one?.polled, two?.polled), (1, 1));

    assert_eq!(
        world.provider.ticks(),
        [0, 0],
        "three symbols, two a request"
    );
    assert_eq!(world.price_log.events().len(), 3, "each is published once");
    for job in [&job, &other] {
        let run = world.job(job).await?.last_run.expect("a run");
        assert_eq!((run.published, run.failed), (3, 0));
    }
    Ok(())
}

#[tokio::test]
async fn jobs_that_share_a_tick_share_its_requests_across_instances() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    let other = polling_jobs::insert(&world.pool, &new_job(60), 50).await?;
    world.clock.set(at(1));
    world.fire(&job, 0).await?;

    let elsewhere = Poller {
        instance: Arc::default(),
        ..world.poller.clone()
    };
    let firing = Firing {
        job_id: other.job_id,
        scheduled_time: at(0),
    };
    assert_eq!(elsewhere.serve(&firing, world.deadline()).await?.polled, 1);

    assert_eq!(world.provider.ticks(), [0, 0]);
    let run = world.job(&other).await?.last_run.expect("a run");
    assert_eq!((run.published, run.failed), (3, 0));

    // The next tick's requests are its own.
    world.clock.set(at(61));
    world.fire(&job, 60).await?;
    assert_eq!(world.provider.ticks(), [0, 0, 60, 60]);
    Ok(())
}
