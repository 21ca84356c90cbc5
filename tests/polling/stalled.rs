//! A job whose next run is overdue reports it, and no other job does.

use shared::repository::polling_jobs::{self, JobStatus, NewJob, PollingJob};
use shared::repository::polling_runs::{self, Claim};

use crate::world::{Act, World, at, claim, new_job};

/// The last second at which the job is not stalled. Asserts that its status and the list of stalled
/// jobs agree.
async fn sound_until(world: &World, job: &PollingJob) -> anyhow::Result<i64> {
    let job = world.job(job).await?;
    let sound = (job.overdue_at.expect("a time") - at(0)).num_seconds();
    assert_ne!(job.status(at(sound)), JobStatus::Stalled);
    assert_eq!(job.status(at(sound + 1)), JobStatus::Stalled);

    for (second, expected) in [(sound, vec![]), (sound + 1, vec![job.job_id])] {
        let count = u64::try_from(expected.len())?;
        assert_eq!(
            polling_jobs::stalled(&world.pool, at(second)).await?,
            (count, expected)
        );
    }

    Ok(sound)
}

#[tokio::test]
async fn a_job_is_stalled_two_intervals_and_a_minute_after_its_newest_tick() -> anyhow::Result<()> {
    for (interval, sound) in [(60, 180), (600, 1_260), (86_400, 172_860)] {
        let (world, job) = World::with_job(interval).await?;
        world.fire(&job, 0).await?;

        assert_eq!(
            sound_until(&world, &job).await?,
            sound,
            "interval {interval}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_relayed_job_has_the_time_of_a_firing_a_minute_late() -> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;
    world.fire(&job, 0).await?;

    // The relay has served the ticks up to 119; the next one is due at 126.
    assert_eq!(sound_until(&world, &job).await?, 126 + 120);
    Ok(())
}

#[tokio::test]
async fn a_job_just_created_has_the_time_to_be_fired_first() -> anyhow::Result<()> {
    for (interval, sound) in [(1, 120), (60, 120), (3_600, 3_660)] {
        let (world, job) = World::with_job(interval).await?;
        assert_eq!(
            sound_until(&world, &job).await?,
            sound,
            "interval {interval}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_job_that_backs_off_is_not_stalled_before_its_next_tick_is_overdue() -> anyhow::Result<()>
{
    let (world, job) = World::with_job(60).await?;

    world.provider.will([Act::Fail(world.provider.limit(880))]);
    world.fire(&job, 0).await?;

    assert_eq!(
        world.job(&job).await?.status(at(600)),
        JobStatus::BackingOff
    );

    // The back-off ends at 880, between two ticks.
    assert_eq!(sound_until(&world, &job).await?, 900 + 120);
    Ok(())
}

#[tokio::test]
async fn a_job_whose_tick_is_being_polled_is_not_stalled() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    claim(&world.pool, job.job_id, at(0), at(170)).await?;
    assert_eq!(sound_until(&world, &job).await?, 200, "the lease's end");

    let theirs = Claim::new(job.job_id, at(0));
    polling_runs::claim(&world.pool, &theirs, at(201)).await?;
    assert!(polling_runs::renew(&world.pool, &theirs, at(220)).await?);

    assert_eq!(sound_until(&world, &job).await?, 250, "renewed");
    Ok(())
}

#[tokio::test]
async fn a_stalled_job_says_whether_its_schedule_or_its_poller_is_silent() -> anyhow::Result<()> {
    let (world, job) = World::with_job(60).await?;
    let reason = async |second| {
        world
            .job(&job)
            .await
            .map(|job| job.reason(at(second)).unwrap_or_default())
    };

    let never = reason(121).await?;
    assert!(
        never.contains("2023-11-14T22:15:20Z, but its schedule was never seen to fire"),
        "{never}"
    );

    world.fire(&job, 0).await?;
    assert_eq!(world.job(&job).await?.reason(at(180)), None);
    let silent = reason(1_000).await?;
    assert!(
        silent.contains("no firing of its schedule was seen after that of 2023-11-14T22:13:20Z"),
        "{silent}"
    );

    polling_jobs::note_firing(&world.pool, job.job_id, at(960)).await?;
    let poller = reason(1_000).await?;
    assert!(
        poller.contains("its schedule fires, last at 2023-11-14T22:29:20Z, but no run is recorded"),
        "{poller}"
    );
    Ok(())
}

#[tokio::test]
async fn of_many_stalled_jobs_all_are_counted_and_those_overdue_longest_are_named()
-> anyhow::Result<()> {
    let pool = e2e::postgres::database().await?;
    let mut ids = Vec::new();
    for second in 0..7 {
        let job = NewJob {
            created_at: at(second),
            ..new_job(60)
        };
        ids.push(polling_jobs::insert(&pool, &job, 0).await?.job_id);
    }

    assert_eq!(
        polling_jobs::stalled(&pool, at(100_000)).await?,
        (7, ids[..5].to_vec())
    );
    assert_eq!(polling_jobs::stalled(&pool, at(60)).await?, (0, vec![]));
    Ok(())
}
