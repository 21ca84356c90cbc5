//! A job with several providers: the next one is polled for what the one before could not give.

use shared::market::Symbol;
use shared::provider::{ProviderError, Refusal};

use crate::world::{Act, World, at, forget_failures, symbols};

/// A job that is polled every minute, of two providers.
async fn world() -> anyhow::Result<(World, shared::repository::polling_jobs::PollingJob)> {
    let (world, mut job) = World::with_job(60).await?;
    job.provider = "script,second".parse()?;
    sqlx::query("update polling_jobs set provider = $1")
        .bind(job.provider.to_string())
        .execute(&world.pool)
        .await?;
    Ok((world, job))
}

#[tokio::test]
async fn points_keep_coming_from_the_second_provider_while_the_first_one_limits_us()
-> anyhow::Result<()> {
    let (mut world, job) = world().await?;
    let second = world.add_provider("second");
    world.provider.will([Act::Fail(world.provider.limit(900))]);

    for minute in 0..4 {
        world.fire(&job, minute * 60).await?;
        let run = world.job(&job).await?.last_run.expect("a run");
        assert_eq!(
            (run.published, run.failed, run.error),
            (3, 0, None),
            "{minute}"
        );
    }

    assert_eq!(world.provider.ticks(), [0], "the first one is left alone");
    assert_eq!(second.ticks(), [0, 0, 60, 60, 120, 120, 180, 180]);
    let events = world.price_log.events();
    assert_eq!(events.len(), 12);
    assert!(
        events
            .iter()
            .all(|event| event.provider.as_str() == "second")
    );
    assert_eq!(world.job(&job).await?.backing_off_until, None);
    Ok(())
}

#[tokio::test]
async fn the_next_provider_is_asked_for_the_symbols_of_failed_requests_only() -> anyhow::Result<()>
{
    let (mut world, job) = world().await?;
    let second = world.add_provider("second");
    world.provider.will([Act::Fail(world.provider.away())]);

    world.fire(&job, 0).await?;

    assert_eq!(
        (world.provider.ticks(), second.ticks()),
        (vec![0, 0], vec![0])
    );
    let by = |provider: &str| -> Vec<Symbol> {
        let events = world.price_log.events().into_iter();
        events
            .filter(|event| event.provider.as_str() == provider)
            .map(|event| event.symbol)
            .collect()
    };
    assert_eq!(by("script"), symbols(&["GOOG"]));
    assert_eq!(by("second"), symbols(&["AAPL", "MSFT"]));
    Ok(())
}

#[tokio::test]
async fn an_unknown_symbol_is_not_asked_of_the_next_provider_unless_so_configured()
-> anyhow::Result<()> {
    let (mut world, job) = world().await?;
    let second = world.add_provider("second");

    world.provider.will([Act::NotTheFirst]);
    world.fire(&job, 0).await?;
    let run = world.job(&job).await?.last_run.expect("a run");
    assert_eq!((run.published, run.failed), (2, 1));
    assert_eq!(
        run.error.as_deref(),
        Some("script does not know the symbol AAPL")
    );
    assert!(second.ticks().is_empty());

    let providers = world.poller.providers.clone();
    world.poller.providers = providers.falling_back_on_unknown_symbol(true);
    world.provider.will([Act::NotTheFirst]);
    world.fire(&job, 60).await?;
    let run = world.job(&job).await?.last_run.expect("a run");
    assert_eq!((run.published, run.failed), (3, 0));
    assert_eq!(second.ticks(), [60]);
    Ok(())
}

#[tokio::test]
async fn a_job_waits_for_the_provider_that_may_be_asked_first_only_if_all_of_them_say_when()
-> anyhow::Result<()> {
    let (mut world, job) = world().await?;
    let second = world.add_provider("second");

    world.provider.will([Act::Fail(world.provider.limit(900))]);
    second.will([Act::Fail(second.limit(300))]);
    world.fire(&job, 0).await?;
    let waiting = world.job(&job).await?;
    let until = waiting.backing_off_until.expect("a back-off") - at(0);
    assert!((300..360).contains(&until.num_seconds()), "{until}");

    forget_failures(&world.pool).await?;
    world.provider.will([Act::Fail(world.provider.limit(900))]);
    let away = second.away();
    second.will([Act::Fail(away.clone()), Act::Fail(away.clone())]);
    world.fire(&job, 600).await?;
    let waiting = world.job(&job).await?;
    let until = waiting.backing_off_until.expect("a back-off") - at(600);
    assert!(until.num_seconds() < 900, "{until}");
    assert!(matches!(away, ProviderError::Unavailable { .. }));
    Ok(())
}

#[tokio::test]
async fn a_job_does_not_wait_for_the_first_provider_while_the_second_one_has_its_other_symbols()
-> anyhow::Result<()> {
    let (mut world, job) = world().await?;
    let second = world.add_provider("second");
    world.provider.will([Act::Fail(world.provider.limit(900))]);
    second.will([Act::NotTheFirst]);

    world.fire(&job, 0).await?;

    let polled = world.job(&job).await?;
    let run = polled.last_run.as_ref().expect("a run");
    assert_eq!((run.published, run.failed), (2, 1));
    assert_eq!(polled.backing_off_until, None);
    assert_eq!(polled.next_tick_at(at(1)), at(60));
    Ok(())
}

#[tokio::test]
async fn failures_that_may_be_due_to_what_was_asked_for_cost_later_symbols_nothing()
-> anyhow::Result<()> {
    let (mut world, mut job) = world().await?;
    let second = world.add_provider("second");
    job.symbols = symbols(&["A", "B", "C", "D", "E", "F", "G", "H"]);
    let names: Vec<&str> = job.symbols.iter().map(Symbol::as_str).collect();
    sqlx::query("update polling_jobs set symbols = $1")
        .bind(&names)
        .execute(&world.pool)
        .await?;

    let provider = job.provider.first().clone();
    let unreadable = ProviderError::Malformed {
        provider: provider.clone(),
        reason: "as told".to_owned(),
    };
    let gated = ProviderError::NotAllowed {
        provider,
        refusal: Refusal::Plan,
    };
    world
        .provider
        .will([unreadable.clone(), unreadable, gated].map(Act::Fail));
    world.fire(&job, 0).await?;

    assert_eq!(world.provider.ticks(), [0; 4], "each of its symbols");
    assert_eq!(second.ticks(), [0; 3], "the symbols that failed");
    let run = world.job(&job).await?.last_run.expect("a run");
    assert_eq!((run.published, run.failed), (8, 0));
    Ok(())
}

#[tokio::test]
async fn two_outages_in_a_row_or_a_refused_key_leave_the_rest_to_the_next_provider()
-> anyhow::Result<()> {
    let (mut world, job) = world().await?;
    let second = world.add_provider("second");
    world.provider.will([Act::Fail(ProviderError::NotAllowed {
        provider: job.provider.first().clone(),
        refusal: Refusal::KeyRefused,
    })]);

    world.fire(&job, 0).await?;
    assert_eq!(
        (world.provider.ticks(), second.ticks()),
        (vec![0], vec![0, 0])
    );

    forget_failures(&world.pool).await?;
    world
        .provider
        .will([0, 1].map(|_| Act::Fail(world.provider.away())));
    world.fire(&job, 60).await?;
    assert_eq!(world.provider.ticks(), [0, 60, 60]);
    assert_eq!(second.ticks(), [0, 0, 60, 60]);
    Ok(())
}

#[tokio::test]
async fn a_job_asks_an_open_breaker_again_within_minutes() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    world.provider.will([Act::Fail(ProviderError::NotAllowed {
        provider: job.provider.first().clone(),
        refusal: Refusal::KeyRefused,
    })]);
    world.fire(&job, 0).await?;
    world.fire(&job, 60).await?;

    let waiting = world.job(&job).await?;
    assert_eq!(
        world.provider.ticks(),
        [0],
        "its breaker is open for an hour"
    );
    assert_eq!(waiting.next_tick_at(at(61)), at(360));
    Ok(())
}
