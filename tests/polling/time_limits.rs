//! An invocation ends before Lambda cuts it off, no matter which part is slow, and its firing comes
//! again for what it could not finish.

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use e2e::link::Link;
use poller::clock::{Clock, WallClock};
use poller::{Ended, Firing, FiringError, Poller};
use shared::repository;
use shared::repository::polling_jobs;
use sqlx::PgPool;
use tokio::time::timeout;

use crate::world::{Act, World, at, new_job, rows};

/// Enough time for an invocation to start one request, and hardly more.
const SHORT: TimeDelta = TimeDelta::seconds(22);

/// The step that did not fit, as reported by the invocation of the firing at second 0, which is cut
/// off at second 22.
async fn out_of_time(world: &World, job: &polling_jobs::PollingJob) -> String {
    let firing = Firing {
        job_id: job.job_id,
        scheduled_time: at(0),
    };

    let served = world.poller.serve(&firing, at(0) + SHORT).await;

    assert!(
        world.clock.now() < at(0) + SHORT,
        "ended at {}",
        world.clock.now()
    );

    match served {
        Err(FiringError::OutOfTime { step, .. }) => step.to_owned(),
        other => panic!("{other:?}"),
    }
}

/// Runs a statement, such as one that hides a table: that counts as an unavailable Postgres, and
/// does not need Postgres to be stopped.
async fn run(pool: &PgPool, statement: &'static str) {
    sqlx::query(statement).execute(pool).await.expect("run");
}

/// Asserts that the tick is taken over once its lease has expired, and has one run.
async fn assert_polled_once_more(
    world: &World,
    job: &polling_jobs::PollingJob,
) -> anyhow::Result<()> {
    assert_eq!(world.runs(job).await?, rows(&[(0, 1, "running")]));

    world.clock.set(at(60));
    assert_eq!(world.fire(job, 0).await?.polled, 1);

    assert_eq!(world.runs(job).await?, rows(&[(0, 1, "succeeded")]));
    assert_eq!(world.fire(job, 0).await?.polled, 0, "the tick is done with");
    Ok(())
}

#[tokio::test]
async fn a_provider_that_never_answers_one_request_costs_that_request_s_symbols_alone()
-> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    world.provider.will([Act::Hang]);

    let served = timeout(Duration::from_secs(60), world.fire(&job, 0))
        .await
        .expect("an end")?;

    assert_eq!(served.ended, Ended::Done);
    assert_eq!(world.runs(&job).await?, rows(&[(0, 1, "partial")]));

    let run = world.job(&job).await?.last_run.expect("a run");
    assert_eq!(run.error.as_deref(), Some("script did not answer in time"));

    assert_eq!(world.price_log.events().len(), 1);
    Ok(())
}

#[tokio::test]
async fn an_invocation_ends_in_time_though_postgres_is_away_after_a_slow_request()
-> anyhow::Result<()> {
    let url = e2e::postgres::database_url().await?;
    let mut link = Link::open(&url).await?;
    let (world, job) = World::over(repository::connect(link.url(), 1)?, 60).await?;

    let (cut, cutting) = tokio::sync::oneshot::channel();
    world
        .clock
        .happens_at(at(5), async move { cut.send(()).expect("a link") });
    world.provider.will([Act::Slow(TimeDelta::seconds(10))]);

    let (step, ()) = tokio::join!(out_of_time(&world, &job), async {
        cutting.await.expect("the fetch");
        link.cut().await;
    });

    assert_eq!(step, "renew the claims on the ticks");
    assert!(world.price_log.events().is_empty());

    link.mend().await?;
    assert_polled_once_more(&world, &job).await
}

#[tokio::test]
async fn an_invocation_that_cannot_store_a_response_in_time_publishes_nothing_of_it()
-> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;

    let pool = world.pool.clone();
    world.clock.happens_at(at(5), async move {
        run(&pool, "alter table raw_responses rename to hidden").await;
    });

    world.provider.will([Act::Slow(TimeDelta::seconds(10))]);

    assert_eq!(out_of_time(&world, &job).await, "store the raw response");
    assert!(world.price_log.events().is_empty());

    run(&world.pool, "alter table hidden rename to raw_responses").await;
    assert_polled_once_more(&world, &job).await
}

#[tokio::test]
async fn an_invocation_that_cannot_record_its_tick_in_time_has_it_polled_again()
-> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    let pool = world.pool.clone();

    // Only the statement that records a run writes this column.
    let forbid = "create function refuse() returns trigger language plpgsql as
                  $$ begin raise exception using errcode = '57014'; end $$";
    let on_jobs = "create trigger refuse before update of consecutive_failures on polling_jobs
                   for each row execute function refuse()";

    world.clock.happens_at(at(5), async move {
        run(&pool, forbid).await;
        run(&pool, on_jobs).await;
    });
    world.provider.will([Act::Slow(TimeDelta::seconds(10))]);

    assert_eq!(
        out_of_time(&world, &job).await,
        "record the result of the tick"
    );
    assert_eq!(
        world.price_log.events().len(),
        2,
        "of the one request that was begun in time"
    );

    run(&world.pool, "drop trigger refuse on polling_jobs").await;
    assert_polled_once_more(&world, &job).await
}

/// In real time, because a statement without an answer does not end by the test's clock.
#[tokio::test]
async fn an_invocation_ends_in_time_though_a_statement_of_its_poll_is_never_answered()
-> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    let poller = Poller {
        clock: Arc::new(WallClock),
        ..world.poller.clone()
    };

    let (locked, lock) = tokio::sync::oneshot::channel();
    let pool = world.pool.clone();
    world.clock.happens_at(at(1), async move {
        let mut transaction = pool.begin().await.expect("begun");
        sqlx::query("select from polling_runs for update")
            .execute(&mut *transaction)
            .await
            .expect("locked");
        locked.send(transaction).expect("a test that waits");
    });
    world.provider.will([Act::Slow(TimeDelta::seconds(1))]);

    let firing = Firing {
        job_id: job.job_id,
        scheduled_time: at(0),
    };

    let deadline = Utc::now() + SHORT;
    let serving = poller.serve(&firing, deadline);
    let served = timeout(Duration::from_secs(60), serving)
        .await
        .expect("an end");

    assert!(Utc::now() < deadline, "ended too late: {served:?}");

    let step = "renew the claims on the ticks";
    assert!(
        matches!(&served, Err(FiringError::OutOfTime { step: s, .. }) if *s == step),
        "{served:?}"
    );

    lock.await?.rollback().await?;
    Ok(())
}

#[tokio::test]
async fn a_firing_whose_job_stays_inactive_comes_again() -> anyhow::Result<()> {
    let (world, _) = World::with_job(60).await?;
    let job = new_job(60);
    polling_jobs::prepare(&world.pool, &job, None, &polling_jobs::JobLimits::NONE, 200).await?;

    let firing = Firing {
        job_id: job.job_id,
        scheduled_time: at(0),
    };

    let served = world.poller.serve(&firing, at(0) + SHORT).await;
    assert!(matches!(served, Err(FiringError::Inactive)), "{served:?}");
    assert!(world.clock.now() < at(0) + SHORT);
    Ok(())
}
