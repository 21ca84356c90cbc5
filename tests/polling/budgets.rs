//! The budget of a provider, which all instances take from in Postgres.

use std::time::Duration;

use chrono::TimeDelta;
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use shared::market::{ProviderName, Timestamp};
use shared::repository::request_budgets::{
    Admission, Admitted, Unused, admit, give_back, provider_states,
};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// 2026-03-20T10:30:00Z and so many milliseconds.
fn at(milliseconds: i64) -> Timestamp {
    "2026-03-20T10:30:00Z"
        .parse::<Timestamp>()
        .expect("as in every test")
        + TimeDelta::milliseconds(milliseconds)
}

#[derive(Clone, Copy)]
struct Budget<'a> {
    pool: &'a PgPool,
    limits: [Option<u32>; 4],
    utc_day: bool,
}

impl Budget<'_> {
    fn provider() -> ProviderName {
        "metered".parse().expect("as in every test")
    }

    async fn take(
        &self,
        needed: u32,
        wanted: u32,
        unused: &[Unused],
        moment: Option<Timestamp>,
    ) -> Admitted {
        let admission = Admission {
            provider: &Self::provider(),
            key: None,
            limits: self.limits,
            utc_day: self.utc_day,
            needed,
            wanted,
            unused,
            probe_id: Uuid::new_v4(),
            probe_time: Duration::from_secs(15),
            moment,
        };
        admit(self.pool, &admission)
            .await
            .expect("as in every test")
    }

    /// The tokens that were granted at a moment, or the milliseconds to wait, negative.
    async fn taken(&self, needed: u32, wanted: u32, milliseconds: i64) -> i64 {
        let moment = Some(at(milliseconds));
        match self.take(needed, wanted, &[], moment).await {
            Admitted::Granted { tokens, .. } => tokens.into(),
            Admitted::Empty { wait, .. } => {
                -i64::try_from(wait.as_millis()).expect("as in every test")
            }
            open @ Admitted::Open { .. } => panic!("{open:?}"),
        }
    }
}

async fn pool() -> PgPool {
    e2e::postgres::database().await.expect("as in every test")
}

/// The most of these tokens that were used within `length` milliseconds, wherever that begins. Each
/// has the time at which it was used.
fn most_within(length: i64, mut used: Vec<i64>) -> usize {
    used.sort_unstable();
    let after = |start: i64| used.partition_point(|time| *time < start + length);
    let starts = used.iter().enumerate();
    starts
        .map(|(index, start)| after(*start) - index)
        .max()
        .unwrap_or(0)
}

#[tokio::test]
async fn each_token_comes_back_one_window_after_it_was_taken_and_the_emptiest_window_counts() {
    let pool = pool().await;
    let budget = Budget {
        pool: &pool,
        limits: [Some(3), Some(5), None, None],
        utc_day: false,
    };

    assert_eq!(budget.taken(1, 1, 100).await, 1);
    assert_eq!(budget.taken(2, 2, 900).await, 2);
    assert_eq!(budget.taken(1, 1, 1_000).await, -100, "the first one's");
    assert_eq!(budget.taken(1, 1, 1_101).await, 1);
    assert_eq!(budget.taken(1, 1, 1_101).await, -799, "the other two's");
    assert_eq!(budget.taken(1, 1, 2_000).await, 1);
    assert_eq!(
        budget.taken(1, 1, 2_001).await,
        -58_599,
        "the minute's first, in steps of 0.6 s"
    );
    assert_eq!(budget.taken(1, 1, 60_600).await, 1);
}

#[tokio::test]
async fn a_day_is_one_in_utc_if_the_provider_counts_so_and_otherwise_any_24_hours() {
    let midnight = 13 * HOUR + 30 * MINUTE;

    // Those of a day come back in steps of 864 s.
    for (utc_day, next) in [(true, midnight), (false, 24 * HOUR + 216 * SECOND)] {
        let pool = pool().await;
        let budget = Budget {
            pool: &pool,
            limits: [None, None, None, Some(9)],
            utc_day,
        };

        assert_eq!(budget.taken(9, 9, 0).await, 9);
        assert_eq!(budget.taken(1, 1, HOUR).await, HOUR - next);
        assert_eq!(budget.taken(9, 9, next).await, 9, "{utc_day}");
        assert!(budget.taken(1, 1, next + SECOND).await < 0);
    }
}

#[tokio::test]
async fn a_request_that_needs_more_than_a_limit_takes_all_of_it_and_counts_in_full() {
    let pool = pool().await;
    let budget = Budget {
        pool: &pool,
        limits: [None, Some(8), None, Some(800)],
        utc_day: true,
    };

    assert_eq!(budget.taken(55, 55, 0).await, 55);
    assert_eq!(budget.taken(1, 1, 30_000).await, -30_000);
    let day = Budget {
        limits: [None, None, None, Some(56)],
        ..budget
    };
    assert_eq!(day.taken(1, 1, 30_000).await, 1);
    assert!(day.taken(1, 1, 30_000).await < 0, "55 and 1 were counted");
}

#[tokio::test]
async fn tokens_are_taken_ahead_from_the_upper_half_of_a_budget_only() {
    let pool = pool().await;
    let budget = Budget {
        pool: &pool,
        limits: [None, Some(20), None, None],
        utc_day: false,
    };

    assert_eq!(budget.taken(1, 8, 0).await, 8);
    assert_eq!(budget.taken(1, 8, 0).await, 2, "until half of it is left");
    assert_eq!(budget.taken(1, 8, 0).await, 1);
    assert_eq!(budget.taken(9, 20, 0).await, 9, "what is needed is given");
}

#[tokio::test]
async fn tokens_taken_ahead_are_kept_for_a_second_and_more_shortly_from_a_budget_per_second() {
    for (limits, expected) in [
        ([None, None, None, None], 1_000),
        ([None, Some(60), None, None], 1_000),
        ([Some(50), None, None, None], 100),
    ] {
        let pool = pool().await;
        let budget = Budget {
            pool: &pool,
            limits,
            utc_day: false,
        };
        let granted = budget.take(1, 5, &[], Some(at(0))).await;
        let Admitted::Granted {
            tokens, valid_for, ..
        } = granted
        else {
            panic!("{granted:?}");
        };
        let expected = Duration::from_millis(expected);
        assert_eq!((tokens, valid_for), (5, expected), "{limits:?}");
    }
}

#[tokio::test]
async fn unused_tokens_and_those_of_a_request_that_was_not_sent_come_back_once() {
    let pool = pool().await;
    for utc_day in [false, true] {
        sqlx::query("delete from request_budgets")
            .execute(&pool)
            .await
            .unwrap();
        let budget = Budget {
            pool: &pool,
            limits: [None, Some(10), None, Some(10)],
            utc_day,
        };
        let unused = |tokens, milliseconds| Unused {
            tokens,
            until: at(milliseconds),
        };

        assert_eq!(budget.taken(1, 4, 0).await, 4);
        assert_eq!(budget.taken(6, 6, 500).await, 6);
        assert!(budget.taken(1, 1, 500).await < 0);

        // Three were taken ahead, until second 1. Two of them were not used.
        let granted = budget
            .take(1, 1, &[unused(2, 1_000)], Some(at(2_000)))
            .await;
        assert!(matches!(granted, Admitted::Granted { .. }), "{granted:?}");
        assert_eq!(budget.taken(1, 1, 2_000).await, 1);
        assert!(budget.taken(1, 1, 2_000).await < 0);

        give_back(&pool, &Budget::provider(), unused(1, 2_000), None)
            .await
            .unwrap();
        assert_eq!(budget.taken(1, 1, 3_000).await, 1);
        assert!(budget.taken(1, 1, 3_000).await < 0);
    }
}

#[tokio::test]
async fn a_clock_set_back_gives_nothing_twice_and_one_set_back_far_does_not_block_for_long() {
    let pool = pool().await;
    let budget = Budget {
        pool: &pool,
        limits: [None, Some(2), None, None],
        utc_day: false,
    };

    assert_eq!(budget.taken(2, 2, 60_500).await, 2);
    assert_eq!(budget.taken(1, 1, 59_900).await, -60_700);
    assert_eq!(budget.taken(1, 1, -HOUR).await, 1, "an hour earlier");
}

/// Instances with clocks of their own use the tokens of a budget, those taken ahead at any time at
/// which they may be used, for two days and a half. The seed is printed.
#[tokio::test]
async fn no_window_of_a_limit_s_length_has_more_than_it_allows_wherever_it_begins() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let pool = pool().await;
    let limits = [7_u32, 40, 300, 900];
    let budget = Budget {
        pool: &pool,
        limits: limits.map(Some),
        utc_day: false,
    };

    let mut used = Vec::new();
    let mut now = 0;
    while used.len() < 2_500 {
        let needed = random.random_range(1..=3);
        let wanted = needed + random.random_range(0..=4);
        match budget.take(needed, wanted, &[], Some(at(now))).await {
            Admitted::Granted {
                tokens, valid_for, ..
            } => {
                let valid_for = i64::try_from(valid_for.as_millis()).unwrap();
                used.extend((0..needed).map(|_| now));
                used.extend((needed..tokens).map(|_| now + random.random_range(0..=valid_for)));
                now += random.random_range(0..=60);
            }
            Admitted::Empty { wait, .. } => {
                let wait = i64::try_from(wait.as_millis()).unwrap() + 1;
                now += if random.random_bool(0.9) { wait } else { 1 };
            }
            open @ Admitted::Open { .. } => panic!("{open:?}"),
        }
    }

    println!("{} tokens in {} s", used.len(), now / SECOND);
    for (limit, length) in limits.into_iter().zip([SECOND, MINUTE, HOUR, 24 * HOUR]) {
        let most = most_within(length, used.clone());
        assert!(most <= limit as usize, "{most} of {limit} in {length} ms");
        assert!(
            most + 8 >= limit as usize,
            "only {most} of {limit} in {length} ms"
        );
    }
    // Two whole days, and what the third day begins with.
    assert!(now <= 2 * 24 * HOUR + 16 * HOUR, "it took {} h", now / HOUR);
}

#[tokio::test]
async fn what_counts_is_told_for_each_window() {
    let pool = pool().await;
    let budget = Budget {
        pool: &pool,
        limits: [Some(50), Some(50), Some(50), Some(50)],
        utc_day: true,
    };
    budget.take(3, 3, &[], None).await;

    let states = provider_states(&pool).await.unwrap();
    let [state] = &states[..] else {
        panic!("{states:?}");
    };
    assert_eq!(state.taken_now[1..], [3, 3, 0, 3], "a day is one in UTC");
}

/// A thousand takers over forty connections, each of which is a process of Postgres, take as fast
/// as they can. Postgres's clock says when.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_concurrent_invocations_keep_the_budget_within_two_percent() {
    const LIMIT: u32 = 200;
    const RUN: Duration = Duration::from_secs(4);

    let url = e2e::postgres::database_url().await.unwrap();
    let pool = PgPoolOptions::new()
        .max_connections(40)
        .acquire_timeout(Duration::from_secs(60))
        .connect(&url)
        .await
        .unwrap();

    let end = Instant::now() + RUN;

    let takers = (0..1_000_u32).map(|taker| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let budget = Budget {
                pool: &pool,
                limits: [Some(LIMIT), None, None, None],
                utc_day: false,
            };
            let mut used = Vec::new();
            while Instant::now() < end {
                match budget.take(1, 1 + taker % 3, &[], None).await {
                    Admitted::Granted {
                        tokens,
                        taken_at,
                        valid_for,
                        ..
                    } => {
                        used.push(taken_at);
                        // Those taken ahead are used as late as they may be.
                        used.extend((1..tokens).map(|_| taken_at + valid_for));
                    }
                    Admitted::Empty { wait, .. } => sleep(wait).await,
                    open @ Admitted::Open { .. } => panic!("{open:?}"),
                }
            }
            used
        })
    });
    let used: Vec<Vec<Timestamp>> = join_all(takers)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let used: Vec<i64> = used
        .iter()
        .flatten()
        .map(Timestamp::timestamp_micros)
        .collect();

    let most = most_within(1_000_000, used.clone());
    let (first, last) = (used.iter().min().unwrap(), used.iter().max().unwrap());
    #[expect(clippy::cast_precision_loss, reason = "seconds and thousands")]
    let rate = used.len() as f64 / ((last - first) as f64 / 1e6 + 1.0);
    println!(
        "{} tokens, at most {most} in a second, {rate:.1} a second",
        used.len()
    );
    assert!(most <= LIMIT as usize, "{most} in a second of {LIMIT}");
    // A busy machine takes tokens later than they come back.
    assert!(
        rate >= f64::from(LIMIT) * 0.5,
        "only {rate} a second of {LIMIT}"
    );
}
