//! What a run records of each symbol.

use chrono::TimeDelta;
use shared::market::{Quote, Symbol, Timestamp};
use shared::price_event::PriceEvent;
use shared::repository::ingest::Ingest;
use shared::repository::polling_jobs::{self, Change, JobLimits, JobStatus, PollingJob};
use shared::repository::polling_runs::{self, Outcome, Run, RunStatus};
use uuid::Uuid;

use crate::world::{Act, World, at, committed, rows, symbols};

/// Stores a point of the world's provider, which always quotes 1.5 at the time of the tick.
async fn store(world: &World, symbol: &str, price: &str, timestamp: Timestamp) {
    let quote = Quote {
        symbol: symbol.parse().expect("a symbol"),
        price: price.parse().expect("a price"),
        currency: None,
        timestamp,
    };
    let polled_at = timestamp - TimeDelta::seconds(1);
    let provider = "script".parse().expect("a name");
    let event = PriceEvent::of_quote(quote, provider, polled_at, Uuid::now_v7());

    let ingest = Ingest::new(world.pool.clone());
    ingest.store(&[event], &[]).await.expect("a stored point");
}

async fn newest(world: &World, job: &PollingJob) -> Run {
    let runs = polling_runs::list(&world.pool, job.job_id, None, 1).await;
    let mut runs = runs.expect("the runs").expect("the job");
    runs.remove(0)
}

/// Each group: its outcome, its provider, its symbols, and the kind of its problem.
fn groups(run: &Run) -> Vec<(Outcome, String, String, String)> {
    let group = |group: &polling_runs::OutcomeGroup| {
        let symbols: Vec<&str> = group.symbols.iter().map(Symbol::as_str).collect();
        let provider = group.provider.as_ref().map(ToString::to_string);
        let problem = group.problem.as_ref().map(|problem| problem.kind.clone());
        let (provider, problem) = (provider.unwrap_or_default(), problem.unwrap_or_default());
        (group.outcome, provider, symbols.join(" "), problem)
    };
    run.outcomes.iter().map(group).collect()
}

fn group(
    outcome: Outcome,
    provider: &str,
    symbols: &str,
    problem: &str,
) -> (Outcome, String, String, String) {
    let text = str::to_owned;
    (outcome, text(provider), text(symbols), text(problem))
}

#[tokio::test]
async fn a_quote_that_did_not_move_counts_as_unchanged_and_is_still_published() -> anyhow::Result<()>
{
    let (world, job) = World::with_job(60).await?;
    store(&world, "AAPL", "1.50", at(60)).await;
    store(&world, "MSFT", "1.6", at(60)).await;
    store(&world, "GOOG", "1.5", at(59)).await;
    world.fire(&job, 60).await?;

    let run = newest(&world, &job).await;
    assert_eq!(
        (run.status, run.published, run.unchanged, run.failed),
        (RunStatus::Succeeded, 2, 1, 0)
    );
    assert_eq!(
        groups(&run),
        [
            group(Outcome::Unchanged, "script", "AAPL", ""),
            group(Outcome::Published, "script", "MSFT GOOG", ""),
        ]
    );
    assert_eq!(world.price_log.events().len(), 3, "so that polled_at moves");
    Ok(())
}

#[tokio::test]
async fn a_run_without_any_new_quote_succeeds() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    for symbol in ["AAPL", "MSFT", "GOOG"] {
        store(&world, symbol, "1.5", at(0)).await;
    }
    world.fire(&job, 0).await?;

    let job = world.job(&job).await?;
    let run = job.last_run.clone().expect("a run");
    assert_eq!(
        (run.status, run.published, run.unchanged, run.failed),
        (RunStatus::Succeeded, 0, 3, 0)
    );
    assert_eq!(
        (job.status(at(1)), job.consecutive_failures),
        (JobStatus::Active, 0)
    );
    Ok(())
}

#[tokio::test]
async fn a_run_names_each_failure_and_the_provider_that_answered() -> anyhow::Result<()> {
    let (mut world, job) = World::with_job(60).await?;
    let second = world.add_provider("second");
    let change = Change {
        symbols: Some(symbols(&["AAPL", "MSFT", "GOOG", "TSLA"])),
        provider: Some("script,second".parse()?),
        ..Change::default()
    };
    let none = JobLimits::NONE;
    committed(polling_jobs::change(&world.pool, job.job_id, &change, &none, 200, at(0)).await)
        .await;

    // The first provider does not know AAPL, and fails for the other request. The second one
    // answers that, but for GOOG.
    world
        .provider
        .will([Act::NotTheFirst, Act::Fail(world.provider.away())]);
    second.will([Act::NotTheFirst]);
    world.fire(&job, 0).await?;

    let run = newest(&world, &job).await;
    assert_eq!(
        (run.status, run.published, run.failed),
        (RunStatus::Partial, 2, 2)
    );
    assert_eq!(
        groups(&run),
        [
            group(Outcome::Failed, "script", "AAPL", "unknown-symbol"),
            group(Outcome::Published, "script", "MSFT", ""),
            group(Outcome::Failed, "second", "GOOG", "unknown-symbol"),
            group(Outcome::Published, "second", "TSLA", ""),
        ]
    );
    let details: Vec<String> = run
        .outcomes
        .into_iter()
        .filter_map(|group| Some(group.problem?.detail))
        .collect();
    assert_eq!(
        details,
        [
            "script does not know the symbol AAPL",
            "second does not know the symbol GOOG"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn symbols_that_were_not_asked_for_are_told_apart() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    world.price_log.fail_next(2);
    world.fire(&job, 0).await?;

    assert_eq!(
        groups(&newest(&world, &job).await),
        [
            group(Outcome::Failed, "script", "AAPL MSFT", "kafka-unavailable"),
            group(Outcome::Failed, "", "GOOG", "not-asked"),
        ]
    );
    assert_eq!(world.runs(&job).await?, rows(&[(0, 1, "failed")]));
    Ok(())
}
