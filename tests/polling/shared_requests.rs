//! Jobs of one relay share the requests to their providers.

use chrono::TimeDelta;
use shared::repository::polling_jobs::{self, NewJob, PollingJob};

use crate::world::{Act, World, at, committed, new_job, rows, symbols};

/// Adds jobs, one for each list of symbols.
async fn add(
    world: &World,
    provider: &str,
    interval_seconds: u32,
    jobs: &[&[&str]],
) -> anyhow::Result<Vec<PollingJob>> {
    let mut added = Vec::new();
    for names in jobs {
        let job = NewJob {
            symbols: symbols(names),
            provider: provider.parse()?,
            ..new_job(interval_seconds)
        };
        added.push(polling_jobs::insert(&world.pool, &job, 500).await?);
    }
    Ok(added)
}

/// A world whose relay serves only jobs that are added to it.
async fn world() -> anyhow::Result<(World, shared::repository::relays::Relay)> {
    let (world, job) = World::with_job(3_601).await?;
    let relay = world.relay_of(&job).await?;
    committed(polling_jobs::pause(&world.pool, job.job_id, at(0)).await).await;
    Ok((world, relay))
}

#[tokio::test]
async fn two_hundred_jobs_with_a_symbol_each_make_four_requests_of_fifty() -> anyhow::Result<()> {
    for concurrent in [1, 3, 1_000] {
        let (mut world, relay) = world().await?;
        world.poller.relay_jobs = 500;
        world.provider.takes(50, concurrent);
        let names: Vec<String> = (0..200).map(|number| format!("S{number}")).collect();
        let lists: Vec<[&str; 1]> = names.iter().map(|name| [name.as_str()]).collect();
        let lists: Vec<&[&str]> = lists.iter().map(<[&str; 1]>::as_slice).collect();
        let jobs = add(&world, "script", 100, &lists).await?;

        world.fire_relay(&relay, 0).await?;

        assert_eq!(world.provider.sizes(), [50; 2 * 4], "{concurrent}");
        for job in &jobs {
            let expected = rows(&[(0, 1, "succeeded"), (100, 1, "succeeded")]);
            assert_eq!(world.runs(job).await?, expected);
        }
        let published: Vec<i64> = sqlx::query_scalar(
            "select coalesce(sum(published), 0)::int8 from polling_runs group by job_id",
        )
        .fetch_all(&world.pool)
        .await?;
        assert_eq!(published, [2; 200]);
        assert_eq!(world.price_log.events().len(), 2 * 200);
    }
    Ok(())
}

#[tokio::test]
async fn jobs_of_different_intervals_and_sizes_fill_requests_together() -> anyhow::Result<()> {
    let (world, relay) = world().await?;
    world.provider.takes(4, 2);
    add(&world, "script", 100, &[&["A", "B", "C"], &["C", "D", "E"]]).await?;
    add(&world, "script", 150, &[&["F"], &["A"], &["G"], &["H"]]).await?;

    world.fire_relay(&relay, 0).await?;

    // Eight symbols at second 0, five of them at second 100, in two requests at a time.
    let mut sizes = world.provider.sizes();
    sizes[2..].sort_unstable();
    assert_eq!(sizes, [4, 4, 1, 4]);
    Ok(())
}

#[tokio::test]
async fn each_run_of_a_shared_request_has_its_own_outcomes() -> anyhow::Result<()> {
    let (world, relay) = world().await?;
    world.provider.takes(10, 1);
    let jobs = add(&world, "script", 200, &[&["A", "B"], &["A"], &["C"]]).await?;
    world.provider.will([Act::NotTheFirst]);

    world.fire_relay(&relay, 0).await?;

    let mut of_jobs = Vec::new();
    for job in &jobs {
        let run = world.job(job).await?.last_run.expect("a run");
        of_jobs.push((run.published, run.failed, run.error.is_some()));
    }
    assert_eq!(world.provider.sizes(), [3]);
    assert_eq!(of_jobs, [(1, 1, true), (0, 1, true), (1, 0, false)]);
    Ok(())
}

#[tokio::test]
async fn the_next_provider_is_asked_together_too_and_only_for_what_is_missing() -> anyhow::Result<()>
{
    let (mut world, relay) = world().await?;
    let second = world.add_provider("second");
    world.provider.takes(2, 1);
    second.takes(10, 1);
    let jobs = add(
        &world,
        "script,second",
        200,
        &[&["A"], &["B"], &["C"], &["D"]],
    )
    .await?;
    world.provider.will([Act::Fail(world.provider.away())]);

    world.fire_relay(&relay, 0).await?;

    assert_eq!(
        (world.provider.sizes(), second.sizes()),
        (vec![2, 2], vec![2])
    );
    for job in &jobs {
        assert_eq!(world.runs(job).await?, rows(&[(0, 1, "succeeded")]));
    }
    Ok(())
}

#[tokio::test]
async fn a_job_with_its_quotes_does_not_wait_for_the_next_provider_of_another() -> anyhow::Result<()>
{
    let (mut world, relay) = world().await?;
    let second = world.add_provider("second");
    world.provider.takes(10, 1);
    let jobs = add(&world, "script,second", 5, &[&["A"], &["B"]]).await?;
    let limit = world.provider.limit(1);
    world.provider.will([Act::FailTheFirst(limit)]);
    second.will([Act::Slow(TimeDelta::seconds(9))]);

    world.fire_relay(&relay, 0).await?;

    let every_tick: Vec<_> = (0..=120)
        .step_by(5)
        .map(|tick| (tick, 1, "succeeded"))
        .collect();
    let runs = [world.runs(&jobs[0]).await?, world.runs(&jobs[1]).await?];
    assert_eq!(
        runs.iter()
            .filter(|runs| **runs == rows(&every_tick))
            .count(),
        1,
        "{runs:?}"
    );
    assert_eq!(
        runs.iter()
            .filter(|runs| runs[1] == (5, 1, "missed".to_owned()))
            .count(),
        1
    );
    Ok(())
}
