//! Jobs that move between a schedule of their own and a relay, or are paused in one.

use poller::clock::Clock as _;
use shared::repository::polling_jobs::{self, Change, JobLimits, PollingJob};
use shared::repository::relays;

use crate::world::{Act, World, at, committed, job_of_its_own, new_job, rows};

/// Gives a job another interval at this second, before any poller polls a tick of that second.
fn changes_at(world: &World, job: &PollingJob, second: i64, interval_seconds: u32) {
    let (pool, job_id) = (world.pool.clone(), job.job_id);
    let change = Change {
        interval_seconds: Some(interval_seconds),
        ..Change::default()
    };

    world.clock.happens_at(at(second), async move {
        let none = JobLimits::NONE;
        committed(polling_jobs::change(&pool, job_id, &change, &none, 200, at(second)).await).await;
    });
}

fn succeeded(ticks: &[i64]) -> Vec<(i64, i64, String)> {
    let expected: Vec<_> = ticks.iter().map(|tick| (*tick, 1, "succeeded")).collect();
    rows(&expected)
}

#[tokio::test]
async fn a_job_that_leaves_its_relay_at_a_tick_loses_and_doubles_none() -> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;
    let relay = world.relay_of(&job).await?;
    changes_at(&world, &job, 14, 60);

    let served = world.fire_relay(&relay, 0).await?;
    assert_eq!(served.polled, 3);
    for second in [15, 75, 75] {
        world.fire(&job, second).await?;
    }

    assert_eq!(world.runs(&job).await?, succeeded(&[0, 7, 14, 15, 75]));
    assert_eq!(relays::of_job(&world.pool, job.job_id).await?, None);

    upkeep::relays::maintain(&world.pool, 200).await?;
    assert!(relays::list(&world.pool).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_job_that_moves_to_a_relay_at_a_tick_loses_and_doubles_none() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    world.fire(&job, 0).await?;
    changes_at(&world, &job, 60, 7);
    world.clock.wait_until(at(60)).await;

    // The firing of its own schedule comes after the change, and serves the relay, too.
    world.fire(&job, 60).await?;

    let mut ticks = vec![0, 60];
    ticks.extend((61..=180).step_by(7));
    assert_eq!(world.runs(&job).await?, succeeded(&ticks));
    assert_eq!(world.provider.ticks().len(), 2 * ticks.len());
    Ok(())
}

#[tokio::test]
async fn a_job_that_gets_another_relayed_interval_at_a_tick_loses_and_doubles_none()
-> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;
    let relay = world.relay_of(&job).await?;
    changes_at(&world, &job, 14, 1);
    changes_at(&world, &job, 30, 50);

    world.fire_relay(&relay, 0).await?;

    let mut ticks = vec![0, 7, 14];
    ticks.extend(15..=30);
    ticks.extend([31, 81]);
    assert_eq!(world.runs(&job).await?, succeeded(&ticks));
    assert_eq!(world.relay_of(&job).await?.relay_id, relay.relay_id);
    Ok(())
}

#[tokio::test]
async fn a_tick_that_is_being_polled_when_its_interval_changes_is_not_polled_again()
-> anyhow::Result<()> {
    let (world, job) = World::with_job(40).await?;
    let relay = world.relay_of(&job).await?;
    world
        .provider
        .will((0..2).map(|_| Act::Slow(chrono::TimeDelta::seconds(3))));
    changes_at(&world, &job, 2, 45);

    world.fire_relay(&relay, 0).await?;

    // Tick 3 is due while tick 0 is being polled, and is polled after it.
    assert_eq!(world.runs(&job).await?, succeeded(&[0, 3, 48, 93]));
    Ok(())
}

#[tokio::test]
async fn a_job_that_moves_to_a_relay_takes_a_vacant_place_and_leaves_one_behind()
-> anyhow::Result<()> {
    let pool = e2e::postgres::database().await?;
    let mut jobs = Vec::new();
    for interval in [7, 7, 7, 60] {
        jobs.push(polling_jobs::insert(&pool, &new_job(interval), 2).await?);
    }
    let change = async |job: &PollingJob, interval_seconds| {
        let change = Change {
            interval_seconds: Some(interval_seconds),
            ..Change::default()
        };
        let none = JobLimits::NONE;
        committed(polling_jobs::change(&pool, job.job_id, &change, &none, 2, at(1)).await).await
    };
    let relay = async |job: &PollingJob| -> anyhow::Result<Option<i32>> {
        let relay = relays::of_job(&pool, job.job_id).await?;
        Ok(relay.map(|relay| relay.relay_id))
    };

    change(&jobs[3], 13).await;
    assert_eq!(relay(&jobs[3]).await?, Some(2));

    change(&jobs[0], 120).await;
    assert_eq!(relay(&jobs[0]).await?, None);
    let another = polling_jobs::insert(&pool, &new_job(9), 2).await?;
    assert_eq!(relay(&another).await?, Some(1), "the place that was left");

    change(&jobs[0], 9).await;
    assert_eq!(relay(&jobs[0]).await?, Some(3), "its old relay is full");
    Ok(())
}

#[tokio::test]
async fn a_job_paused_in_its_relay_skips_its_ticks_and_no_other_job_does() -> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;
    let other = polling_jobs::insert(&world.pool, &job_of_its_own(7), 200).await?;
    let relay = world.relay_of(&job).await?;

    let (pool, job_id) = (world.pool.clone(), job.job_id);
    world.clock.happens_at(at(14), async move {
        committed(polling_jobs::pause(&pool, job_id, at(14)).await).await;
    });
    let (pool, job_id) = (world.pool.clone(), job.job_id);
    world.clock.happens_at(at(60), async move {
        committed(polling_jobs::resume(&pool, job_id, at(60)).await).await;
    });

    world.fire_relay(&relay, 0).await?;

    let mut expected = succeeded(&[0, 7]);
    expected.extend(rows(&[(14, 7, "skipped")]));
    expected.extend(succeeded(&(63..=120).step_by(7).collect::<Vec<_>>()));
    assert_eq!(world.runs(&job).await?, expected);

    let all: Vec<_> = (0..=120).step_by(7).collect();
    assert_eq!(world.runs(&other).await?, succeeded(&all));
    Ok(())
}

#[tokio::test]
async fn a_tick_long_before_the_change_is_not_polled_after_it() -> anyhow::Result<()> {
    for (changed_at, polled) in [(100, true), (72_000, false)] {
        let (world, job) = World::with_job(86_400).await?;
        changes_at(&world, &job, changed_at, 50);
        world.clock.wait_until(at(changed_at)).await;

        // The first tick was missed. Its firing may still come, or is long past.
        let relay = world.relay_of(&job).await?;
        world.fire_relay(&relay, changed_at + 2).await?;

        let first = world.runs(&job).await?.remove(0);
        let expected = if polled { "succeeded" } else { "missed" };
        assert_eq!(first, (0, 1, expected.to_owned()));
    }
    Ok(())
}

#[tokio::test]
async fn an_old_tick_that_cannot_be_claimed_hides_none_of_the_new_ones() -> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;
    // The tick at second 14 is missed, and the change comes right after it.
    changes_at(&world, &job, 15, 10);
    world.clock.wait_until(at(15)).await;
    let relay = world.relay_of(&job).await?;

    // The job begins to back off before its relay is there again.
    sqlx::query("update polling_jobs set backing_off_until = $2 where job_id = $1")
        .bind(job.job_id)
        .bind(at(20))
        .execute(&world.pool)
        .await?;
    let due = relays::due(&world.pool, relay.relay_id, at(27), &[], 10).await?;
    let due: Vec<_> = due.iter().map(|due| due.tick_time).collect();
    assert_eq!(due, [at(26)]);
    Ok(())
}
