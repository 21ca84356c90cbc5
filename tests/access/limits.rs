//! How often a key may be used, over all instances.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use shared::access::{RateLimits, Scope};
use shared::market::Timestamp;
use shared::repository::api_keys::budget::{self, Use};
use tokio::time::Instant;

use crate::guarded::{Guarded, Through};

const START: &str = "2026-03-20T10:30:00Z";

/// How many uses are granted, if one is asked for every `step` during `time`.
async fn granted(api: &Guarded, limits: &str, step: TimeDelta, time: TimeDelta) -> u32 {
    let key = api.key(Scope::Read).await.id();
    let limits: RateLimits = limits.parse().unwrap();
    let start: Timestamp = START.parse().unwrap();

    let (mut moment, mut granted) = (start, 0);
    while moment < start + time {
        let wish = Use {
            key,
            limits,
            wanted: 1,
            unused: &[],
            moment: Some(moment),
        };
        granted += budget::take(&api.pool, &wish).await.unwrap().requests;
        moment += step;
    }
    granted
}

#[tokio::test]
async fn a_key_gets_its_limit_within_two_percent_and_never_more_however_often_it_asks() {
    let api = Guarded::start().await;
    let time = TimeDelta::seconds(20);

    for step in [7, 33, 50] {
        let granted = granted(&api, "5/s", TimeDelta::milliseconds(step), time).await;
        assert!((98..=100).contains(&granted), "every {step} ms: {granted}");
    }
}

#[tokio::test]
async fn several_limits_hold_together() {
    let api = Guarded::start().await;
    let step = TimeDelta::milliseconds(100);

    let in_a_minute = granted(&api, "5/s,20/min", step, TimeDelta::seconds(59)).await;
    assert_eq!(in_a_minute, 20);
}

#[tokio::test]
async fn a_key_beyond_its_limit_is_told_when_to_come_again_and_others_are_not_concerned() {
    let api = Guarded::start().await;
    let (key, other) = (
        api.key_with(Scope::Read, "2/min,1000/day").await,
        api.key_with(Scope::Read, "2/min").await,
    );

    for left in ["1", "0"] {
        let answered = api.get(Through::Aws, "/symbols", Some(&key)).await;
        assert_eq!(answered.status, 200);
        assert_eq!(answered.header("ratelimit-limit"), "2");
        assert_eq!(answered.header("ratelimit-remaining"), left);
        assert_eq!(answered.header("ratelimit-reset"), "60");
        assert_eq!(answered.header("ratelimit-policy"), "2;w=60, 1000;w=86400");
    }

    // Another instance knows it from Postgres, and each remembers it.
    let another = Guarded::over(api.pool.clone());
    for api in [&api, &another, &another] {
        let refused = api.get(Through::Aws, "/symbols", Some(&key)).await;
        refused.assert_problem(429, "too-many-requests");

        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=61).contains(&wait), "{refused:?}");
        assert_eq!(refused.header("ratelimit-remaining"), "0");
        assert_eq!(
            refused.header("ratelimit-reset"),
            refused.header("retry-after")
        );
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("2/min,1000/day"), "{detail}");
    }

    let answered = another.get(Through::Aws, "/symbols", Some(&other)).await;
    assert_eq!(answered.status, 200);
    let unlimited = api.key(Scope::Read).await;
    let answered = api.get(Through::Aws, "/symbols", Some(&unlimited)).await;
    assert_eq!(
        (answered.status, answered.header("ratelimit-limit")),
        (200, "")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_instances_under_sixty_four_clients_keep_the_limit_of_one_key() {
    const TIME: Duration = Duration::from_secs(20);
    let first = Guarded::start().await;
    let key = first.key_with(Scope::Read, "5/s").await;
    let mut instances = vec![first];
    for _ in 0..3 {
        let pool = instances[0].pool.clone();
        instances.push(Guarded::over(pool));
    }
    let instances: Arc<[Guarded]> = instances.into();

    let (answered, start) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let clients = (0..64).map(|number| {
        let (instances, key) = (Arc::clone(&instances), key.clone());
        let answered = Arc::clone(&answered);
        tokio::spawn(async move {
            while start.elapsed() < TIME {
                let api = &instances[number % 4];
                let answer = api.get(Through::Aws, "/symbols", Some(&key)).await;
                match answer.status {
                    200 => {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    429 => tokio::time::sleep(Duration::from_millis(50)).await,
                    other => panic!("{other}: {answer:?}"),
                }
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }

    // The machine may be slow, so only the upper bound is exact: five in any second.
    let (answered, time) = (answered.load(Ordering::Relaxed) as u128, start.elapsed());
    let most = 5 * time.as_millis() / 1_000 + 5;
    assert!(answered <= most, "{answered} in {time:?}");
    assert!(answered >= most * 9 / 10, "{answered} in {time:?}");
}
