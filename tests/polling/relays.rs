//! Jobs that share a relay.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use futures::future::join_all;
use poller::Ended;
use poller::clock::Clock;
use shared::market::Timestamp;
use shared::repository::polling_jobs::{self, NewJob};
use shared::repository::polling_runs::{self, Claim, ClaimOutcome};
use shared::repository::relays;
use sqlx::PgPool;

use crate::world::{Act, World, at, claim, job_of_its_own, new_job, rows};

/// The number of jobs of each relay.
async fn jobs_of_relays(pool: &PgPool) -> anyhow::Result<Vec<i64>> {
    let query = "select count(job_id) from relays left join polling_jobs using (relay_id)
                 group by relay_id order by relay_id";
    Ok(sqlx::query_scalar(query).fetch_all(pool).await?)
}

#[tokio::test]
async fn jobs_share_relays_and_one_more_than_a_relay_may_have_makes_another() -> anyhow::Result<()>
{
    let pool = e2e::postgres::database().await?;
    let jobs: Vec<_> = (0..201).map(|_| new_job(10)).collect();

    let created = join_all(jobs.iter().map(|job| polling_jobs::insert(&pool, job, 200)));
    for job in created.await {
        job?;
    }
    assert_eq!(jobs_of_relays(&pool).await?, [200, 1]);

    polling_jobs::insert(&pool, &new_job(60), 200).await?;
    assert_eq!(
        jobs_of_relays(&pool).await?,
        [200, 1],
        "whole minutes need no relay"
    );

    polling_jobs::delete(&pool, jobs[7].job_id).await?;
    let next = polling_jobs::insert(&pool, &new_job(1), 200).await?;
    let relay = relays::of_job(&pool, next.job_id).await?;
    assert_eq!(
        relay.map(|relay| relay.relay_id),
        Some(1),
        "a deleted job makes room"
    );
    Ok(())
}

#[tokio::test]
async fn a_relay_without_jobs_is_removed_and_its_invocation_ends() -> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;
    let relay = world.relay_of(&job).await?;

    let pool = world.pool.clone();
    world.clock.happens_at(at(20), async move {
        upkeep::relays::maintain(&pool, 200).await.expect("done");
        assert!(
            polling_jobs::delete(&pool, job.job_id)
                .await
                .expect("deleted")
        );
    });
    let pool = world.pool.clone();
    world.clock.happens_at(at(30), async move {
        upkeep::relays::maintain(&pool, 200).await.expect("done");
    });

    let served = world.fire_relay(&relay, 0).await?;
    assert_eq!((served.polled, served.ended), (3, Ended::NoSuchRelay));
    assert_eq!(world.clock.now(), at(30));
    assert!(relays::list(&world.pool).await?.is_empty());

    let served = world.fire_relay(&relay, 60).await?;
    assert_eq!((served.polled, served.ended), (0, Ended::NoSuchRelay));
    Ok(())
}

#[tokio::test]
async fn a_slow_job_delays_no_other() -> anyhow::Result<()> {
    let (world, job) = World::with_job(1).await?;
    let others: Vec<_> = (0..5).map(|_| job_of_its_own(1)).collect();
    for other in &others {
        polling_jobs::insert(&world.pool, other, 50).await?;
    }
    // A party has four symbols, so one job, and the slow request leaves another one its place.
    world.provider.takes(2, 2);
    world.provider.will([Act::Slow(TimeDelta::seconds(9))]);

    world.fire_relay(&world.relay_of(&job).await?, 0).await?;

    let late: Vec<(i64, i64)> = sqlx::query_as(
        "select count(*) filter (where started_at >= tick_time + interval '1 second'),
                coalesce(sum(ticks) filter (where status = 'missed'), 0)::int8
         from polling_runs group by job_id order by 2",
    )
    .fetch_all(&world.pool)
    .await?;
    assert_eq!(late[..5], [(0, 0); 5], "the others");
    assert_eq!(late.len(), 6);
    assert!(late[5].1 >= 8, "the slow one misses ticks: {late:?}");

    let recorded: Vec<i64> =
        sqlx::query_scalar("select sum(ticks)::int8 from polling_runs group by job_id")
            .fetch_all(&world.pool)
            .await?;
    assert_eq!(recorded, [121; 6], "every tick is in one row");
    Ok(())
}

#[tokio::test]
async fn a_job_that_is_created_or_changed_meanwhile_is_polled_from_its_next_tick_on()
-> anyhow::Result<()> {
    let (world, job) = World::with_job(7).await?;
    let new = NewJob {
        created_at: at(30) - TimeDelta::milliseconds(1),
        ..job_of_its_own(50)
    };

    let (pool, created) = (world.pool.clone(), new.clone());
    world.clock.happens_at(at(29), async move {
        polling_jobs::insert(&pool, &created, 50)
            .await
            .expect("a job");
    });
    let (pool, job_id) = (world.pool.clone(), job.job_id);
    world.clock.happens_at(at(100), async move {
        let change = "update polling_jobs set symbols = '{TSLA}' where job_id = $1";
        let changed = sqlx::query(change).bind(job_id).execute(&pool).await;
        changed.expect("changed");
    });

    world.fire_relay(&world.relay_of(&job).await?, 0).await?;

    let new = polling_jobs::get(&world.pool, new.job_id)
        .await?
        .expect("a job");
    assert_eq!(
        world.runs(&new).await?,
        rows(&[(30, 1, "succeeded"), (80, 1, "succeeded")])
    );

    let tesla = world
        .price_log
        .events()
        .into_iter()
        .filter(|event| event.symbol.as_str() == "TSLA");
    let polled: Vec<Timestamp> = tesla.map(|event| event.timestamp).collect();
    assert_eq!(polled, [at(105), at(112), at(119)]);
    Ok(())
}

#[tokio::test]
async fn a_relay_serves_no_more_ticks_at_once_than_it_may_have_jobs() -> anyhow::Result<()> {
    let (mut world, job) = World::with_job(3_601).await?;
    for _ in 0..4 {
        polling_jobs::insert(&world.pool, &job_of_its_own(3_601), 50).await?;
    }
    world.poller.relay_jobs = 2;

    world.fire_relay(&world.relay_of(&job).await?, 0).await?;

    let started: BTreeMap<_, _> = sqlx::query_as::<_, (Timestamp, i64)>(
        "select started_at, count(*) from polling_runs group by started_at",
    )
    .fetch_all(&world.pool)
    .await?
    .into_iter()
    .collect();
    assert_eq!(
        started,
        BTreeMap::from([(at(0), 2), (at(1), 2), (at(2), 1)])
    );
    Ok(())
}

#[tokio::test]
async fn jobs_that_want_the_same_symbols_at_the_same_second_share_requests_and_events()
-> anyhow::Result<()> {
    let (world, job) = World::with_job(30).await?;
    let mut jobs = vec![job];
    for _ in 0..9 {
        jobs.push(polling_jobs::insert(&world.pool, &new_job(40), 50).await?);
    }
    let relay = world.relay_of(&jobs[0]).await?;
    // A quote is shared if it was polled after the tick.
    let slow = || Act::Slow(TimeDelta::milliseconds(100));
    world.provider.will((0..200).map(|_| slow()));

    world.fire_relay(&relay, 0).await?;

    // Two requests for three symbols at each of these ticks, whatever the number of jobs.
    let mut ticks = world.provider.ticks();
    ticks.sort_unstable();
    assert_eq!(
        ticks,
        [0, 0, 30, 30, 40, 40, 60, 60, 80, 80, 90, 90, 120, 120]
    );
    assert_eq!(world.price_log.events().len(), 7 * 3);

    for job in &jobs {
        let runs = world.runs(job).await?;
        assert!(runs.iter().all(|run| run.2 == "succeeded"), "{runs:?}");
    }
    let published: i64 = sqlx::query_scalar("select sum(published)::int8 from polling_runs")
        .fetch_one(&world.pool)
        .await?;
    assert_eq!(
        published,
        (5 + 9 * 4) * 3,
        "each run counts its own symbols"
    );
    Ok(())
}

/// Claims ticks as a relay does: together those that can be, and then each of the others.
async fn claim_all(
    pool: &PgPool,
    claims: &[Claim],
    now: Timestamp,
) -> anyhow::Result<Vec<(Claim, Option<ClaimOutcome>)>> {
    let held = polling_runs::claim_successors(pool, claims, now).await?;

    let mut outcomes = Vec::new();
    for claim in claims {
        let outcome = if held.contains(&claim.claim_id) {
            Some(ClaimOutcome::Claimed)
        } else {
            polling_runs::claim_unless_locked(pool, claim, now).await?
        };
        outcomes.push((*claim, outcome));
    }
    Ok(outcomes)
}

#[tokio::test]
async fn claims_of_many_jobs_at_once_are_each_as_one_alone() -> anyhow::Result<()> {
    let (world, plain) = World::with_job(7).await?;
    let mut jobs = vec![plain];
    for _ in 0..4 {
        jobs.push(polling_jobs::insert(&world.pool, &new_job(7), 50).await?);
    }

    // A gap before the tick, a run whose lease has expired, one that is being polled, a back-off.
    claim(&world.pool, jobs[2].job_id, at(7), at(0)).await?;
    claim(&world.pool, jobs[3].job_id, at(7), at(36)).await?;
    sqlx::query("update polling_jobs set backing_off_until = $2 where job_id = $1")
        .bind(jobs[4].job_id)
        .bind(at(15))
        .execute(&world.pool)
        .await?;

    let first: Vec<Claim> = jobs[..2]
        .iter()
        .map(|job| Claim::new(job.job_id, at(0)))
        .collect();
    for (_, outcome) in claim_all(&world.pool, &first, at(0)).await? {
        assert_eq!(outcome, Some(ClaimOutcome::Claimed));
    }

    let claims: Vec<Claim> = jobs
        .iter()
        .map(|job| Claim::new(job.job_id, at(14)))
        .collect();
    for attempt in ["at first", "again, its answer lost"] {
        let outcomes = claim_all(&world.pool, &claims, at(37)).await?;
        let outcomes: Vec<_> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
        let expected = [
            ClaimOutcome::Claimed,
            ClaimOutcome::Claimed,
            ClaimOutcome::Claimed,
            ClaimOutcome::Claimed,
            ClaimOutcome::BackingOff(at(15)),
        ];
        assert_eq!(outcomes, expected.map(Some), "{attempt}");
    }

    let expected: [&[(i64, i64, &str)]; 5] = [
        &[(0, 1, "abandoned"), (7, 1, "missed"), (14, 1, "running")],
        &[(0, 1, "abandoned"), (7, 1, "missed"), (14, 1, "running")],
        &[(0, 1, "missed"), (7, 1, "abandoned"), (14, 1, "running")],
        &[(0, 1, "missed"), (7, 1, "running"), (14, 1, "running")],
        &[],
    ];
    for (job, expected) in jobs.iter().zip(expected) {
        assert_eq!(world.runs(job).await?, rows(expected));
    }
    Ok(())
}

#[tokio::test]
async fn of_claims_of_the_same_ticks_at_the_same_time_one_of_each_holds() -> anyhow::Result<()> {
    let pool = e2e::postgres::database().await?;
    let mut jobs = Vec::new();
    for _ in 0..20 {
        jobs.push(polling_jobs::insert(&pool, &new_job(7), 50).await?.job_id);
    }

    for tick in [0, 7, 14] {
        let attempts: Vec<Vec<Claim>> = (0..4)
            .map(|_| jobs.iter().map(|job| Claim::new(*job, at(tick))).collect())
            .collect();
        let claiming = attempts
            .iter()
            .map(|claims| claim_all(&pool, claims, at(tick)));

        let mut held = BTreeMap::new();
        for outcomes in join_all(claiming).await {
            for (claim, outcome) in outcomes? {
                *held.entry(claim.job_id).or_insert(0) +=
                    u32::from(outcome == Some(ClaimOutcome::Claimed));
            }
        }
        assert_eq!(held.len(), 20);
        assert!(held.values().all(|held| *held == 1), "{held:?}");

        let finish = "update polling_runs set status = 'succeeded', lease_until = null";
        sqlx::query(finish).execute(&pool).await?;
    }
    Ok(())
}
