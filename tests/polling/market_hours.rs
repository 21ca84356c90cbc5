//! Jobs that are polled only while markets are open, as the provider tells it.

use chrono::TimeDelta;
use poller::RunRequest;
use shared::market::{Symbol, Timestamp, Trading, TradingPeriod};
use shared::repository::polling_jobs::{self, Change, JobLimits, JobStatus, PollingJob};
use shared::repository::polling_runs::{self, Outcome, Run};

use crate::world::{World, at, committed, rows, symbols};

const HOUR: i64 = 3_600;

/// A world with a job that has market hours, at second 0.
async fn world(interval_seconds: u32) -> anyhow::Result<(World, PollingJob)> {
    let (world, job) = World::with_job(interval_seconds).await?;
    set(&world, &job, true).await?;
    let job = world.job(&job).await?;
    Ok((world, job))
}

async fn set(world: &World, job: &PollingJob, market_hours: bool) -> anyhow::Result<()> {
    let change = Change {
        market_hours: Some(market_hours),
        ..Change::default()
    };
    let now = world.poller.clock.now();
    let none = JobLimits::NONE;
    committed(polling_jobs::change(&world.pool, job.job_id, &change, &none, 200, now).await).await;
    Ok(())
}

/// These symbols trade at one exchange between the two seconds.
fn trading(names: &[&str], exchange: &str, opens: i64, closes: i64) -> Vec<(Symbol, Trading)> {
    let trading = Trading {
        exchange: Some(exchange.to_owned()),
        period: TradingPeriod::new(at(opens), at(closes)),
    };
    let symbols = symbols(names).into_iter();
    symbols.map(|symbol| (symbol, trading.clone())).collect()
}

async fn newest_run(world: &World, job: &PollingJob) -> anyhow::Result<Run> {
    let runs = polling_runs::list(&world.pool, job.job_id, None, 1).await?;
    Ok(runs.and_then(|mut runs| runs.pop()).expect("a run"))
}

/// The symbols of this outcome in the newest run.
async fn of_outcome(world: &World, job: &PollingJob, outcome: Outcome) -> anyhow::Result<String> {
    let groups = newest_run(world, job).await?.outcomes.into_iter();
    let symbols = groups.filter(|group| group.outcome == outcome);
    let symbols: Vec<String> = symbols
        .flat_map(|group| group.symbols)
        .map(|symbol| symbol.to_string())
        .collect();
    Ok(symbols.join(" "))
}

const ALL: [&str; 3] = ["AAPL", "MSFT", "GOOG"];
const YESTERDAY: i64 = -18 * HOUR;

#[tokio::test]
async fn a_job_whose_markets_are_closed_sleeps_until_shortly_before_they_open() -> anyhow::Result<()>
{
    let (world, job) = world(60).await?;
    world
        .provider
        .tells(trading(&ALL, "NMS", 6 * HOUR, 12 * HOUR), at(YESTERDAY));
    world.fire(&job, 0).await?;

    let asleep = world.job(&job).await?;
    let resumes = at(6 * HOUR) - TimeDelta::minutes(2);
    assert_eq!(asleep.closed_until, Some(resumes));
    assert_eq!(asleep.next_tick_at(at(60)), resumes);
    assert_eq!(asleep.status(at(5 * HOUR)), JobStatus::Active);
    let reason = asleep.reason(at(60)).expect("a reason");
    assert!(
        reason.contains("markets of all its symbols are closed"),
        "{reason}"
    );

    for second in [60, 120, 6 * HOUR - 180] {
        assert_eq!(world.fire(&job, second).await?.polled, 0, "{second}");
    }
    assert_eq!(world.fire(&job, 6 * HOUR - 120).await?.polled, 1);
    assert_eq!(
        world.runs(&job).await?,
        rows(&[
            (0, 1, "succeeded"),
            (60, 357, "skipped"),
            (6 * HOUR - 120, 1, "succeeded"),
        ])
    );
    assert_eq!(world.job(&job).await?.closed_until, None);
    Ok(())
}

#[tokio::test]
async fn a_relay_leaves_a_job_out_over_night() -> anyhow::Result<()> {
    let (world, job) = world(7).await?;
    world
        .provider
        .tells(trading(&ALL, "NMS", 6 * HOUR, 12 * HOUR), at(YESTERDAY));
    let served = world.fire(&job, 0).await?;
    assert_eq!(served.polled, 1, "and no tick after it");
    Ok(())
}

#[tokio::test]
async fn symbols_of_closed_markets_are_left_out_and_shown() -> anyhow::Result<()> {
    let (world, job) = world(60).await?;
    let mut told = trading(&["AAPL", "GOOG"], "NMS", 6 * HOUR, 12 * HOUR);
    told.extend(trading(&["MSFT"], "CCC", -HOUR, 12 * HOUR));
    world.provider.tells(told, at(YESTERDAY));
    world.fire(&job, 0).await?;

    world.fire(&job, 60).await?;
    assert_eq!(
        of_outcome(&world, &job, Outcome::Closed).await?,
        "AAPL GOOG"
    );
    let run = newest_run(&world, &job).await?;
    assert_eq!((run.published + run.unchanged, run.failed), (1, 0));
    assert_eq!(world.job(&job).await?.closed_until, None);
    Ok(())
}

#[tokio::test]
async fn over_a_holiday_the_provider_is_asked_until_it_tells_the_next_period() -> anyhow::Result<()>
{
    let (world, job) = world(60).await?;
    // The last period it knows is yesterday's.
    let yesterday = trading(&ALL, "NMS", -24 * HOUR, YESTERDAY);
    world.provider.tells(yesterday, at(YESTERDAY));
    world.fire(&job, 0).await?;
    let again = at(15 * 60);
    assert_eq!(world.job(&job).await?.next_tick_at(at(1)), again);

    let tomorrow = trading(&ALL, "NMS", 24 * HOUR, 30 * HOUR);
    world.provider.tells(tomorrow, at(YESTERDAY));
    assert_eq!(world.fire(&job, 15 * 60).await?.polled, 1);
    let resumes = at(24 * HOUR) - TimeDelta::minutes(2);
    assert_eq!(world.job(&job).await?.next_tick_at(again), resumes);
    Ok(())
}

#[tokio::test]
async fn a_market_whose_quotes_are_recent_is_open_whatever_its_period() -> anyhow::Result<()> {
    let (world, job) = world(60).await?;
    let yesterday = trading(&ALL, "CCC", -24 * HOUR, -HOUR);
    world.provider.tells(yesterday, at(-60));

    world.fire(&job, 0).await?;
    assert_eq!(
        world.provider.sizes(),
        [2, 1],
        "and its period is not asked for"
    );
    assert_eq!(world.fire(&job, 60).await?.polled, 1);
    Ok(())
}

#[tokio::test]
async fn a_provider_that_tells_nothing_leaves_all_symbols_open() -> anyhow::Result<()> {
    let (world, job) = world(60).await?;
    world.provider.tells(Vec::new(), at(YESTERDAY));
    for second in [0, 60, 120] {
        assert_eq!(world.fire(&job, second).await?.polled, 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_job_without_market_hours_is_polled_at_all_hours_and_a_change_opens_it()
-> anyhow::Result<()> {
    let (world, job) = world(60).await?;
    let told = trading(&ALL, "NMS", 6 * HOUR, 12 * HOUR);
    world.provider.tells(told, at(YESTERDAY));
    world.fire(&job, 0).await?;
    assert_eq!(world.fire(&job, 60).await?.polled, 0);

    set(&world, &job, false).await?;
    assert_eq!(world.job(&job).await?.closed_until, None);
    for second in [120, 180] {
        assert_eq!(world.fire(&job, second).await?.polled, 1, "{second}");
    }
    Ok(())
}

#[tokio::test]
async fn a_request_polls_closed_markets_too() -> anyhow::Result<()> {
    let (world, job) = world(60).await?;
    let told = trading(&ALL, "NMS", 6 * HOUR, 12 * HOUR);
    world.provider.tells(told, at(YESTERDAY));
    world.fire(&job, 0).await?;

    let now: Timestamp = at(90) + TimeDelta::milliseconds(500);
    world.clock.set(now);
    let run = polling_runs::request(&world.pool, job.job_id, None, now).await?;
    let request = RunRequest {
        job_id: job.job_id,
        requested_at: run.expect("the job").time,
    };
    world
        .poller
        .serve_request(&request, world.deadline())
        .await?;

    assert_eq!(of_outcome(&world, &job, Outcome::Closed).await?, "");
    let run = newest_run(&world, &job).await?;
    assert_eq!(run.published + run.unchanged, 3);
    Ok(())
}
