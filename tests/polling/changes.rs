//! Jobs that are changed, paused and resumed: no tick is polled twice, and each is in one row.

use poller::Ended;
use shared::market::Timestamp;
use shared::repository::polling_jobs::{self, Change, JobLimits, JobStatus, PollingJob};
use shared::repository::polling_runs::{self, Claim, ClaimOutcome, RunResult};

use crate::world::{Act, World, at, claim, committed, rows, symbols};

async fn change(world: &World, job: &PollingJob, change: Change, second: f64) -> PollingJob {
    let now = moment(second);
    let none = JobLimits::NONE;
    committed(polling_jobs::change(&world.pool, job.job_id, &change, &none, 200, now).await)
        .await
        .after
}

async fn pause(world: &World, job: &PollingJob, second: f64) -> PollingJob {
    committed(polling_jobs::pause(&world.pool, job.job_id, moment(second)).await).await
}

async fn resume(world: &World, job: &PollingJob, second: f64) -> PollingJob {
    committed(polling_jobs::resume(&world.pool, job.job_id, moment(second)).await).await
}

fn moment(second: f64) -> Timestamp {
    at(0) + std::time::Duration::from_secs_f64(second)
}

fn interval(seconds: u32) -> Change {
    Change {
        interval_seconds: Some(seconds),
        ..Change::default()
    }
}

#[tokio::test]
async fn another_interval_begins_a_grid_at_the_next_whole_second() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    world.fire(&job, 0).await?;

    // The ticks at 60 and 120 were not polled. That of 120 may be claimed yet.
    let changed = change(&world, &job, interval(300), 130.5).await;
    assert_eq!((changed.start_at, changed.interval_seconds), (at(131), 300));
    assert_eq!(
        world.runs(&job).await?,
        rows(&[(0, 1, "succeeded"), (60, 1, "missed"), (120, 1, "missed")])
    );

    // A late firing of the old grid, and the firings of the new one.
    assert_eq!(world.fire(&job, 120).await?.polled, 1);
    for second in [131, 131, 431] {
        world.fire(&job, second).await?;
    }
    // Firings of the old schedule, which follows later: no ticks.
    assert_eq!(world.fire(&job, 480).await?.polled, 0);

    assert_eq!(
        world.runs(&job).await?,
        rows(&[
            (0, 1, "succeeded"),
            (60, 1, "missed"),
            (120, 1, "succeeded"),
            (131, 1, "succeeded"),
            (431, 1, "succeeded"),
        ])
    );
    Ok(())
}

#[tokio::test]
async fn a_long_gap_of_a_short_interval_does_not_cover_ticks_of_a_long_one() -> anyhow::Result<()> {
    let (world, job) = World::with_job(10).await?;
    change(&world, &job, interval(3_600), 100_000.5).await;

    assert_eq!(
        world.runs(&job).await?,
        rows(&[(0, 10_000, "missed"), (100_000, 1, "missed")])
    );
    assert_eq!(world.fire(&job, 100_001).await?.polled, 1);
    assert_eq!(world.fire(&job, 103_601).await?.polled, 1);
    assert_eq!(world.job(&job).await?.overdue_at, Some(at(107_201 + 3_660)));
    Ok(())
}

#[tokio::test]
async fn a_relay_serves_the_new_interval_from_its_next_tick_on() -> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;
    let (pool, job_id) = (world.pool.clone(), job.job_id);

    world.clock.happens_at(moment(15.5), async move {
        let (change, none) = (interval(25), JobLimits::NONE);
        committed(polling_jobs::change(&pool, job_id, &change, &none, 200, moment(15.5)).await)
            .await;
    });
    world.fire(&job, 0).await?;

    assert_eq!(
        world.runs(&job).await?,
        rows(&[
            (0, 1, "succeeded"),
            (7, 1, "succeeded"),
            (14, 1, "succeeded"),
            (16, 1, "succeeded"),
            (41, 1, "succeeded"),
            (66, 1, "succeeded"),
            (91, 1, "succeeded"),
            (116, 1, "succeeded"),
        ])
    );
    Ok(())
}

#[tokio::test]
async fn a_claim_of_a_tick_that_the_change_has_abolished_is_refused() -> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;
    change(&world, &job, interval(10), 0.5).await;

    // Tick 14 was one of the old grid; ticks of the new one are at 1, 11, 21.
    assert_eq!(
        claim(&world.pool, job.job_id, at(14), at(14)).await?,
        ClaimOutcome::AlreadyRecorded
    );
    assert_eq!(
        claim(&world.pool, job.job_id, at(11), at(14)).await?,
        ClaimOutcome::Claimed
    );
    Ok(())
}

#[tokio::test]
async fn other_symbols_and_providers_are_polled_at_the_next_tick_and_end_a_back_off()
-> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    let first = Claim::new(job.job_id, at(0));
    polling_runs::claim(&world.pool, &first, at(0)).await?;
    let limit = RunResult {
        failed: 3,
        retry_after: Some(std::time::Duration::from_secs(900)),
        ..RunResult::default()
    };
    polling_runs::finish(&world.pool, &first, &limit, at(0)).await?;
    let limited = world.job(&job).await?;
    assert_eq!(
        (limited.status(at(1)), limited.since(at(1))),
        (JobStatus::BackingOff, at(0))
    );

    let other = Change {
        symbols: Some(symbols(&["TSLA"])),
        ..Change::default()
    };
    let changed = change(&world, &job, other.clone(), 150.5).await;
    assert_eq!(
        (
            changed.status(at(151)),
            changed.since(at(151)),
            changed.start_at
        ),
        (JobStatus::Active, moment(150.5), at(0))
    );

    world.fire(&job, 180).await?;
    assert_eq!(
        world.runs(&job).await?,
        rows(&[
            (0, 1, "failed"),
            (60, 1, "skipped"),
            (120, 1, "missed"),
            (180, 1, "succeeded")
        ])
    );
    assert_eq!(world.price_log.events().len(), 1);

    // The same once more changes nothing.
    let before = world.job(&job).await?;
    assert_eq!(change(&world, &job, other, 200.0).await, before);
    Ok(())
}

#[tokio::test]
async fn a_paused_job_polls_nothing_and_does_not_catch_up() -> anyhow::Result<()> {
    for interval in [60, 7] {
        let (world, job) = World::with_job(interval).await?;
        world.fire(&job, 0).await?;
        let polled = world.runs(&job).await?;
        let newest = polled.last().expect("a run").0;

        let paused = pause(&world, &job, 150.0).await;
        assert_eq!(
            (paused.status(at(9_999_999)), paused.since(at(160))),
            (JobStatus::Paused, at(150))
        );
        assert_eq!(pause(&world, &job, 155.0).await, paused, "once is enough");
        assert_eq!(
            polling_jobs::stalled(&world.pool, at(1_000_000)).await?,
            (0, vec![]),
            "a paused job is not stalled"
        );

        let served = world.fire(&job, 180).await?;
        let ended = if interval == 60 {
            Ended::Paused
        } else {
            Ended::Done
        };
        assert_eq!((served.polled, served.ended), (0, ended));
        assert_eq!(
            claim(&world.pool, job.job_id, at(180), at(180)).await?,
            ClaimOutcome::Paused
        );

        let resumed = resume(&world, &job, 1_000.0).await;
        assert_eq!(
            (resumed.status(at(1_000)), resumed.since(at(1_001))),
            (JobStatus::Active, at(1_000))
        );
        assert_eq!(resume(&world, &job, 1_005.0).await, resumed);

        world.fire(&job, 1_020).await?;
        let runs = world.runs(&job).await?;
        let mut next = newest + i64::from(interval);
        for (tick, ticks, status) in &runs[polled.len()..] {
            assert_eq!(*tick, next, "{runs:?}");
            next = tick + ticks * i64::from(interval);
            match status.as_str() {
                // Before the pause, or after it and before the firing.
                "missed" => assert!(
                    next <= 150 + i64::from(interval) || *tick > 1_000,
                    "{runs:?}"
                ),
                "skipped" => assert!(next > 1_000 && next <= 1_007 + 60, "{runs:?}"),
                other => assert!(other == "succeeded" && *tick > 1_000, "{runs:?}"),
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_run_in_progress_is_not_ended_by_a_pause() -> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;
    let (pool, job_id) = (world.pool.clone(), job.job_id);

    let ours = Claim::new(job.job_id, at(0));
    polling_runs::claim(&world.pool, &ours, at(0)).await?;
    world.clock.happens_at(at(10), async move {
        committed(polling_jobs::pause(&pool, job_id, at(10)).await).await;
    });

    let served = world.fire(&job, 1).await?;
    assert_eq!((served.polled, served.ended), (1, Ended::Done));
    assert_eq!(world.job(&job).await?.overdue_at, None);

    pause(&world, &job, 11.0).await;
    assert!(
        polling_runs::renew(&world.pool, &ours, at(12))
            .await
            .is_ok()
    );
    Ok(())
}

#[tokio::test]
async fn the_end_of_a_pause_ends_a_back_off_and_a_stall() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    world
        .provider
        .will([Act::Fail(world.provider.limit(9_000))]);
    world.fire(&job, 0).await?;

    pause(&world, &job, 100.0).await;
    let resumed = resume(&world, &job, 200.0).await;
    assert_eq!(resumed.status(at(201)), JobStatus::Active);
    assert_eq!(resumed.next_tick_at(at(201)), at(240));
    assert_eq!(resumed.overdue_at, Some(at(240 + 120)));
    Ok(())
}

#[tokio::test]
async fn a_job_that_was_stalled_is_active_since_its_first_run_after_it() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    world.fire(&job, 0).await?;

    let stalled = world.job(&job).await?;
    assert_eq!(
        (stalled.status(at(181)), stalled.since(at(181))),
        (JobStatus::Stalled, at(180))
    );

    world.fire(&job, 600).await?;
    let active = world.job(&job).await?;
    assert_eq!(
        (active.status(at(601)), active.since(at(601))),
        (JobStatus::Active, at(600))
    );
    Ok(())
}

#[tokio::test]
async fn a_job_of_all_statuses_is_found_by_each_and_by_no_other() -> anyhow::Result<()> {
    use polling_jobs::{Filter, search};

    let (world, job) = World::with_job(60).await?;
    world
        .provider
        .will((0..4).map(|_| Act::Fail(world.provider.away())));
    let mut seen = std::collections::BTreeSet::new();

    for (second, fires) in [
        (0, true),
        (60, true),
        (61, false),
        (90, false),
        (180, true),
        (181, false),
        (999, false),
    ] {
        if fires {
            world.fire(&job, second).await?;
        }
        if second == 181 {
            pause(&world, &job, 180.5).await;
        }
        if second == 999 {
            resume(&world, &job, 200.0).await;
        }

        let now = at(second);
        let status = world.job(&job).await?.status(now);
        seen.insert(status.as_str());
        for filtered in JobStatus::ALL {
            let filter = Filter {
                status: Some(filtered),
                symbol: None,
            };
            let found = search(&world.pool, &filter, now, None, 10).await?;
            assert_eq!(
                found.len(),
                usize::from(filtered == status),
                "{second} {filtered:?} {status:?}"
            );
        }
    }
    assert_eq!(seen.len(), 4, "{seen:?}");

    for (name, expected) in [("MSFT", 1), ("TSLA", 0)] {
        let filter = Filter {
            status: None,
            symbol: Some(name.parse()?),
        };
        assert_eq!(
            search(&world.pool, &filter, at(0), None, 10).await?.len(),
            expected
        );
    }
    Ok(())
}

#[tokio::test]
async fn ticks_that_a_pause_skipped_do_not_cover_those_of_a_longer_interval() -> anyhow::Result<()>
{
    let (world, job) = World::with_job(60).await?;
    pause(&world, &job, 0.5).await;
    resume(&world, &job, 600.5).await;
    change(&world, &job, interval(3_600), 601.5).await;

    assert_eq!(world.fire(&job, 602).await?.polled, 1);
    assert_eq!(
        world.runs(&job).await?,
        rows(&[(0, 11, "skipped"), (602, 1, "succeeded")])
    );
    Ok(())
}
