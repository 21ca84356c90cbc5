//! Runs that requests ask for: now, once, and beside the ticks.

use poller::{Ended, FiringError, RunRequest, Served};
use shared::market::Timestamp;
use shared::repository::polling_jobs::{self, JobStatus, PollingJob};
use shared::repository::polling_runs::{self, Claim, ClaimOutcome, RequestedRun, RunStatus};

use crate::world::{Act, World, at, committed, forget_failures, rows};

fn moment(second: f64) -> Timestamp {
    at(0) + std::time::Duration::from_secs_f64(second)
}

async fn request(world: &World, job: &PollingJob, second: f64) -> RequestedRun {
    let now = moment(second);
    world.clock.set(now);
    let run = polling_runs::request(&world.pool, job.job_id, None, now).await;
    run.expect("a run").expect("the job")
}

async fn serve(world: &World, job: &PollingJob, run: RequestedRun) -> Result<Served, FiringError> {
    let request = RunRequest {
        job_id: job.job_id,
        requested_at: run.time,
    };
    world.poller.serve_request(&request, world.deadline()).await
}

#[tokio::test]
async fn a_requested_run_is_polled_once_and_is_no_tick() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    world.fire(&job, 0).await?;
    let overdue = world.job(&job).await?.overdue_at;

    let run = request(&world, &job, 90.25).await;
    assert_eq!(run.status, RunStatus::Requested);
    for polled in [1, 0] {
        let served = serve(&world, &job, run).await?;
        assert_eq!((served.polled, served.ended), (polled, Ended::Done));
    }

    assert_eq!(
        world.job(&job).await?.overdue_at,
        overdue,
        "a request does not hide that the schedule is silent"
    );
    world.fire(&job, 120).await?;
    assert_eq!(
        world.runs(&job).await?,
        rows(&[
            (0, 1, "succeeded"),
            (60, 1, "missed"),
            (90, 1, "succeeded"),
            (120, 1, "succeeded"),
        ])
    );
    Ok(())
}

#[tokio::test]
async fn a_request_at_a_whole_second_never_takes_a_tick() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    let run = request(&world, &job, 60.0).await;
    assert_eq!(run.time, at(60) + chrono::TimeDelta::microseconds(1));

    serve(&world, &job, run).await?;
    assert_eq!(world.fire(&job, 60).await?.polled, 1);
    assert_eq!(
        world.runs(&job).await?,
        rows(&[(0, 1, "missed"), (60, 1, "succeeded"), (60, 1, "succeeded"),])
    );
    Ok(())
}

#[tokio::test]
async fn a_paused_job_is_polled_on_request_and_stays_paused() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    committed(polling_jobs::pause(&world.pool, job.job_id, moment(10.5)).await).await;

    let run = request(&world, &job, 70.5).await;
    assert_eq!(serve(&world, &job, run).await?.polled, 1);
    let now = moment(71.0);
    assert_eq!(world.job(&job).await?.status(now), JobStatus::Paused);
    Ok(())
}

#[tokio::test]
async fn a_success_on_request_ends_a_back_off_and_a_failure_does_not_lengthen_it()
-> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    let away = || Act::Fail(world.provider.away());
    world.provider.will([away(), away(), away(), away()]);
    for second in [0, 60] {
        world.fire(&job, second).await?;
    }
    let before = world.job(&job).await?;
    assert_eq!(before.status(moment(61.0)), JobStatus::BackingOff);

    // The breaker stays closed, so that this is about the job alone.
    forget_failures(&world.pool).await?;
    world.provider.forget_script();
    world.provider.will([away(), away()]);
    let run = request(&world, &job, 70.5).await;
    serve(&world, &job, run).await?;
    let after = world.job(&job).await?;
    assert_eq!(
        (after.consecutive_failures, after.backing_off_until),
        (before.consecutive_failures, before.backing_off_until)
    );

    forget_failures(&world.pool).await?;
    world.provider.forget_script();
    let run = request(&world, &job, 90.5).await;
    serve(&world, &job, run).await?;
    assert_eq!(
        world.job(&job).await?.status(moment(91.0)),
        JobStatus::Active
    );
    Ok(())
}

#[tokio::test]
async fn requests_at_the_same_time_share_a_run_and_later_ones_get_their_own() -> anyhow::Result<()>
{
    let (world, job) = World::with_job(60).await?;
    let first = request(&world, &job, 1.5).await;
    assert_eq!(request(&world, &job, 9.5).await, first, "it still waits");

    let second = request(&world, &job, 12.0).await;
    assert!(second.time > first.time, "it has waited for too long");

    serve(&world, &job, second).await?;
    let third = request(&world, &job, 13.0).await;
    assert!(third.time > second.time, "the other one was polled before");
    Ok(())
}

#[tokio::test]
async fn a_key_names_one_run_of_one_job() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    let asked = async |job: &PollingJob, second: f64| {
        let now = moment(second);
        polling_runs::request(&world.pool, job.job_id, Some("key"), now).await
    };

    let first = asked(&job, 1.5).await?.expect("the job");
    serve(&world, &job, first).await?;
    let again = asked(&job, 500.5).await?.expect("the job");
    assert_eq!(
        (again.time, again.status),
        (first.time, RunStatus::Succeeded)
    );

    let other = crate::world::new_job(60);
    let other = polling_jobs::insert(&world.pool, &other, 50).await?;
    assert!(matches!(
        asked(&other, 600.5).await,
        Err(polling_runs::RequestError::KeyOfAnotherRequest { job_id }) if job_id == job.job_id
    ));
    assert_eq!(
        world.runs(&other).await?,
        rows(&[]),
        "nothing is left behind"
    );

    let age = "update polling_run_keys set created_at = now() - interval '25 hours'";
    sqlx::query(age).execute(&world.pool).await?;
    let later = asked(&other, 700.5).await?.expect("the job");
    assert_eq!(later.status, RunStatus::Requested);
    Ok(())
}

#[tokio::test]
async fn a_run_whose_poller_was_killed_is_taken_over_and_no_tick_closes_it() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    let run = request(&world, &job, 10.5).await;
    let killed = Claim::of_request(job.job_id, run.time);
    let claimed = polling_runs::claim(&world.pool, &killed, moment(10.6)).await?;
    assert_eq!(claimed, ClaimOutcome::Claimed);

    world.fire(&job, 60).await?;
    let served = serve(&world, &job, run).await?;
    assert_eq!(served.polled, 1, "Lambda tries the invocation again");
    Ok(())
}

#[tokio::test]
async fn a_run_that_no_poller_took_is_closed_after_an_hour_with_its_reason() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    let run = request(&world, &job, 10.5).await;
    let close = async |second| polling_runs::close_unserved(&world.pool, moment(second)).await;

    assert_eq!(close(3_610.0).await?, 0);
    assert_eq!(close(3_611.0).await?, 1);
    assert_eq!(close(3_612.0).await?, 0);
    let closed = polling_runs::get(&world.pool, job.job_id, run.time).await?;
    let closed = closed.expect("the run");
    assert_eq!(closed.status, RunStatus::Abandoned);
    assert!(
        closed
            .error
            .is_some_and(|error| error.contains("no poller took the run")),
        "{run:?}"
    );

    let served = serve(&world, &job, run).await?;
    assert_eq!(served.polled, 0, "an event that comes even later");
    Ok(())
}

#[tokio::test]
async fn runs_of_ticks_outlive_newer_requests_when_old_runs_are_deleted() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    world.fire(&job, 0).await?;
    let run = request(&world, &job, 90.5).await;
    serve(&world, &job, run).await?;

    polling_runs::delete_before(&world.pool, at(1_000)).await?;
    assert_eq!(
        world.runs(&job).await?,
        rows(&[(0, 1, "succeeded")]),
        "ticks that nobody polled are counted from it"
    );
    Ok(())
}

#[tokio::test]
async fn a_run_of_a_deleted_job_is_not_polled() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    let run = request(&world, &job, 10.5).await;
    polling_jobs::delete(&world.pool, job.job_id).await?;

    assert_eq!(serve(&world, &job, run).await?.ended, Ended::NoSuchJob);
    let absent = polling_runs::request(&world.pool, job.job_id, None, moment(20.5)).await?;
    assert_eq!(absent, None);
    Ok(())
}
