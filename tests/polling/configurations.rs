//! What belongs to a job's configuration ends with it, and nothing else does.

use std::time::Duration;

use chrono::TimeDelta;
use poller::clock::Clock as _;
use shared::market::Timestamp;
use shared::repository::polling_jobs::{
    self, Change, Filter, JobLimits, JobStatus, PollingJob, search,
};
use shared::repository::polling_runs::{self, Claim, ClaimOutcome, RunResult};

use crate::world::{Act, World, at, claim, committed, forget_failures, rows, symbols};

const DAY: u32 = 86_400;

async fn change(world: &World, job: &PollingJob, change: Change, now: Timestamp) -> PollingJob {
    let none = JobLimits::NONE;
    committed(polling_jobs::change(&world.pool, job.job_id, &change, &none, 200, now).await)
        .await
        .after
}

fn interval(seconds: u32) -> Change {
    Change {
        interval_seconds: Some(seconds),
        ..Change::default()
    }
}

fn other_symbols() -> Change {
    Change {
        symbols: Some(symbols(&["TSLA"])),
        ..Change::default()
    }
}

#[tokio::test]
async fn another_interval_ends_a_back_off_that_was_counted_in_the_old_one() -> anyhow::Result<()> {
    for failures in [1, 2] {
        let (world, job) = World::with_job(DAY).await?;
        for day in 0..failures {
            world.provider.will([
                Act::Fail(world.provider.away()),
                Act::Fail(world.provider.away()),
            ]);
            world.fire(&job, day * i64::from(DAY)).await?;
            forget_failures(&world.pool).await?;
        }
        let now = world.clock.now() + TimeDelta::milliseconds(500);
        assert!(world.job(&job).await?.skips_until() > Some(now));

        let changed = change(&world, &job, interval(10), now).await;
        assert_eq!(changed.skips_until(), None);
        assert_eq!(changed.status(now), JobStatus::Active);
        assert_eq!(changed.next_tick_at(now), changed.start_at);
        let since = if failures == 1 { job.created_at } else { now };
        assert_eq!(changed.since(now), since);

        let first = changed.start_at;
        assert_eq!(
            claim(&world.pool, job.job_id, first, first).await?,
            ClaimOutcome::Claimed
        );
        // What was failing may be failing yet: the next failure is one more.
        assert_eq!(i64::from(changed.consecutive_failures), failures);
    }
    Ok(())
}

#[tokio::test]
async fn other_symbols_do_not_end_a_stall() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    world.fire(&job, 0).await?;
    let now = at(10_000);
    let stalled = world.job(&job).await?;
    assert_eq!(stalled.status(now), JobStatus::Stalled);

    let changed = change(&world, &job, other_symbols(), now).await;
    assert_eq!(changed.status(now), JobStatus::Stalled);
    assert_eq!(changed.since(now), stalled.since(now));
    assert_eq!(
        polling_jobs::stalled(&world.pool, now).await?,
        (1, vec![job.job_id])
    );

    // The next run does, and the ticks that were missed are recorded then.
    world.fire(&job, 10_020).await?;
    assert_eq!(world.job(&job).await?.since(at(10_021)), at(10_020));
    assert_eq!(
        world.runs(&job).await?,
        rows(&[
            (0, 1, "succeeded"),
            (60, 166, "missed"),
            (10_020, 1, "succeeded")
        ])
    );
    Ok(())
}

#[tokio::test]
async fn the_end_of_a_back_off_by_a_change_does_not_end_a_stall_after_it() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    world.provider.will([Act::Fail(world.provider.limit(600))]);
    world.fire(&job, 0).await?;
    let now = at(10_000);
    let stalled = world.job(&job).await?;
    assert_eq!(stalled.status(now), JobStatus::Stalled);

    let changed = change(&world, &job, other_symbols(), now).await;
    assert_eq!(changed.overdue_at, stalled.overdue_at);
    assert_eq!(
        world.runs(&job).await?,
        rows(&[(0, 1, "failed"), (60, 9, "skipped")])
    );
    Ok(())
}

#[tokio::test]
async fn another_interval_ends_a_stall_of_the_old_one() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    world.fire(&job, 0).await?;

    let now = at(10_000) + TimeDelta::milliseconds(500);
    let changed = change(&world, &job, interval(300), now).await;
    assert_eq!(
        (changed.status(now), changed.since(now)),
        (JobStatus::Active, now)
    );
    Ok(())
}

#[tokio::test]
async fn a_run_of_an_earlier_configuration_does_not_make_the_present_one_back_off()
-> anyhow::Result<()> {
    // Whatever ends the configuration while its request is under way.
    for ended_by in ["symbols", "interval", "pause"] {
        let (world, job) = World::with_job(60).await?;
        let limited = RunResult {
            failed: 3,
            retry_after: Some(Duration::from_secs(600)),
            configuration: Some(job.configuration),
            ..RunResult::default()
        };
        let old = Claim::new(job.job_id, at(0));
        polling_runs::claim(&world.pool, &old, at(0)).await?;

        let now = at(1);
        match ended_by {
            "symbols" => {
                change(&world, &job, other_symbols(), now).await;
            }
            "interval" => {
                change(&world, &job, interval(120), now).await;
            }
            _ => {
                committed(polling_jobs::pause(&world.pool, job.job_id, now).await).await;
                committed(polling_jobs::resume(&world.pool, job.job_id, now).await).await;
            }
        }

        assert!(polling_runs::finish(&world.pool, &old, &limited, at(5)).await?);
        let job = world.job(&job).await?;
        assert_eq!(job.skips_until(), None, "{ended_by}");
        assert_eq!(job.consecutive_failures, 0, "{ended_by}");
        assert_eq!(job.status(at(6)), JobStatus::Active, "{ended_by}");
        assert!(job.last_run.is_some(), "the run is recorded: {ended_by}");
    }
    Ok(())
}

#[tokio::test]
async fn a_poller_tells_of_which_configuration_its_run_is() -> anyhow::Result<()> {
    for interval in [60, 7] {
        let (world, job) = World::with_job(interval).await?;
        sqlx::query("update polling_jobs set consecutive_failures = 3")
            .execute(&world.pool)
            .await?;

        // The job is changed while its first request is under way.
        world.provider.will([Act::Slow(TimeDelta::seconds(5))]);
        let (pool, job_id) = (world.pool.clone(), job.job_id);
        world.clock.happens_at(at(2), async move {
            let change = Change {
                market_hours: Some(true),
                ..Change::default()
            };
            let none = JobLimits::NONE;
            let changing = polling_jobs::change(&pool, job_id, &change, &none, 200, at(2));
            committed(changing.await).await;
        });

        // Cut off before the next tick.
        let firing = poller::Firing {
            job_id,
            scheduled_time: at(0),
        };
        world.poller.serve(&firing, at(26)).await?;

        let job = world.job(&job).await?;
        assert!(job.last_run.is_some_and(|run| run.failed == 0));
        assert_eq!((job.configuration, job.consecutive_failures), (1, 3));
    }
    Ok(())
}

#[tokio::test]
async fn a_tick_that_is_taken_over_is_polled_as_the_job_is_by_then() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    // Another poller was killed with the tick. Its lease ends at second 30.
    claim(&world.pool, job.job_id, at(0), at(0)).await?;

    let (pool, job_id) = (world.pool.clone(), job.job_id);
    world.clock.happens_at(at(10), async move {
        let (change, none) = (other_symbols(), JobLimits::NONE);
        let changing = polling_jobs::change(&pool, job_id, &change, &none, 200, at(10));
        committed(changing.await).await;
    });

    assert_eq!(world.fire(&job, 1).await?.polled, 1);
    let polled: Vec<String> = world
        .price_log
        .events()
        .iter()
        .map(|event| event.symbol.to_string())
        .collect();
    assert_eq!(polled, ["TSLA"]);
    Ok(())
}

#[tokio::test]
async fn a_job_backs_off_from_the_first_skipped_tick_until_its_next_run() -> anyhow::Result<()> {
    let (world, job) = World::with_job(600).await?;
    world.provider.will([Act::Fail(world.provider.limit(900))]);
    world.fire(&job, 0).await?;

    // The pause ends at second 900, and the tick after it is at 1200.
    for second in [1, 599, 601, 899, 901, 1_199] {
        let job = world.job(&job).await?;
        assert_eq!(
            (job.status(at(second)), job.since(at(second))),
            (JobStatus::BackingOff, at(0)),
            "{second}"
        );
        for (status, expected) in [(JobStatus::BackingOff, 1), (JobStatus::Active, 0)] {
            let filter = Filter {
                status: Some(status),
                symbol: None,
            };
            let found = search(&world.pool, &filter, at(second), None, 10).await?;
            assert_eq!(found.len(), expected, "{second} {status:?}");
        }
    }

    forget_failures(&world.pool).await?;
    world.fire(&job, 1_200).await?;
    let job = world.job(&job).await?;
    assert_eq!(
        (job.status(at(1_201)), job.since(at(1_201))),
        (JobStatus::Active, at(1_200))
    );
    Ok(())
}

#[tokio::test]
async fn a_tick_that_was_missed_before_a_pause_is_not_one_that_it_skipped() -> anyhow::Result<()> {
    let (world, job) = World::with_job(DAY).await?;
    let hour = 3_600;

    for (paused, expected) in [(hour - 1, "skipped"), (23 * hour, "missed")] {
        sqlx::query("delete from polling_runs")
            .execute(&world.pool)
            .await?;
        committed(polling_jobs::pause(&world.pool, job.job_id, at(paused)).await).await;
        committed(polling_jobs::resume(&world.pool, job.job_id, at(paused + 5)).await).await;
        assert_eq!(world.runs(&job).await?, rows(&[(0, 1, expected)]));
    }
    Ok(())
}

#[tokio::test]
async fn a_run_whose_poller_was_killed_is_closed_though_the_job_is_paused() -> anyhow::Result<()> {
    for (paused, resumes) in [(31, false), (10, false), (10, true)] {
        let (world, job) = World::with_job(60).await?;
        claim(&world.pool, job.job_id, at(0), at(0)).await?;
        committed(polling_jobs::pause(&world.pool, job.job_id, at(paused)).await).await;

        let expired = paused > 30;
        let of_pause = if expired { "abandoned" } else { "running" };
        assert_eq!(world.runs(&job).await?, rows(&[(0, 1, of_pause)]));

        if resumes {
            committed(polling_jobs::resume(&world.pool, job.job_id, at(40)).await).await;
        } else {
            assert_eq!(
                polling_runs::close_left_behind(&world.pool, at(29)).await?,
                0
            );
            let closed = polling_runs::close_left_behind(&world.pool, at(40)).await?;
            assert_eq!(closed, u64::from(!expired));
        }
        assert_eq!(world.runs(&job).await?, rows(&[(0, 1, "abandoned")]));
    }
    Ok(())
}

#[tokio::test]
async fn a_run_that_may_be_taken_over_is_left_for_hours() -> anyhow::Result<()> {
    let (world, job) = World::with_job(DAY).await?;
    claim(&world.pool, job.job_id, at(0), at(0)).await?;

    let close = async |second| polling_runs::close_left_behind(&world.pool, at(second)).await;
    assert_eq!(close(6 * 3_600).await?, 0);
    assert_eq!(close(8 * 3_600).await?, 1);
    assert_eq!(world.runs(&job).await?, rows(&[(0, 1, "abandoned")]));
    Ok(())
}
