//! The budget of a provider, which all instances take from in Postgres.

use std::time::Duration;

use chrono::TimeDelta;
use futures::future::join_all;
use shared::market::{ProviderName, Timestamp};
use shared::repository::request_budgets::{Admission, Admitted, admit};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// 2026-03-20T10:30:00Z and so many milliseconds.
fn at(milliseconds: i64) -> Timestamp {
    "2026-03-20T10:30:00Z"
        .parse::<Timestamp>()
        .expect("as in every test")
        + TimeDelta::milliseconds(milliseconds)
}

struct Budget<'a> {
    pool: &'a PgPool,
    limits: [Option<u32>; 4],
}

impl Budget<'_> {
    async fn take(&self, needed: u32, wanted: u32, moment: Option<Timestamp>) -> Admitted {
        let provider: ProviderName = "metered".parse().expect("as in every test");
        let admission = Admission {
            provider: &provider,
            key: None,
            limits: self.limits,
            needed,
            wanted,
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
        match self.take(needed, wanted, Some(at(milliseconds))).await {
            Admitted::Granted { tokens, .. } => tokens.into(),
            Admitted::Empty { wait } => -i64::try_from(wait.as_millis()).expect("as in every test"),
            open @ Admitted::Open { .. } => panic!("{open:?}"),
        }
    }
}

#[tokio::test]
async fn each_window_begins_anew_and_the_emptiest_one_counts() {
    let pool = e2e::postgres::database().await.unwrap();
    let budget = Budget {
        pool: &pool,
        limits: [Some(3), Some(5), None, Some(9)],
    };

    assert_eq!(budget.taken(1, 2, 100).await, 2);
    assert_eq!(budget.taken(1, 2, 200).await, 1, "what the second has left");
    assert_eq!(budget.taken(1, 1, 300).await, -700, "until the next second");
    assert_eq!(
        budget.taken(1, 3, 1_000).await,
        2,
        "what the minute has left"
    );
    assert_eq!(budget.taken(1, 1, 1_100).await, -58_900, "the next minute");
    assert_eq!(budget.taken(2, 2, 60_000).await, 2);
    assert_eq!(
        budget.taken(3, 3, 61_000).await,
        -48_539_000,
        "too few for the day"
    );
    assert_eq!(
        budget.taken(2, 2, 61_000).await,
        2,
        "but as many as are left"
    );
    assert_eq!(
        budget.taken(3, 3, 13 * 3_600_000 + 1_800_000).await,
        3,
        "the next day begins at midnight in UTC"
    );
}

#[tokio::test]
async fn tokens_are_kept_for_a_second_at_most_and_never_into_the_next_window() {
    let pool = e2e::postgres::database().await.unwrap();
    for (limits, milliseconds, expected) in [
        ([None, None, None, None], 100, 1_000),
        ([None, Some(60), None, None], 100, 1_000),
        ([None, Some(60), None, None], 59_700, 300),
        ([Some(5), None, None, None], 400, 600),
    ] {
        let budget = Budget {
            pool: &pool,
            limits,
        };
        let Admitted::Granted { valid_for, .. } = budget.take(1, 1, Some(at(milliseconds))).await
        else {
            panic!("nothing granted for {limits:?}");
        };
        assert_eq!(valid_for, Duration::from_millis(expected), "{limits:?}");
    }
}

#[tokio::test]
async fn a_clock_set_back_gives_nothing_twice_and_one_set_back_far_does_not_block_for_long() {
    let pool = e2e::postgres::database().await.unwrap();
    let budget = Budget {
        pool: &pool,
        limits: [None, Some(2), None, None],
    };

    assert_eq!(budget.taken(2, 2, 60_500).await, 2);
    assert_eq!(
        budget.taken(1, 1, 59_900).await,
        -60_100,
        "the minute that was begun"
    );
    assert_eq!(budget.taken(1, 1, -3_600_000).await, 1, "an hour earlier");
}

/// A thousand takers over forty connections, each of which is a process of Postgres, take as fast
/// as they can. Postgres's clock says which seconds they took in.
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

    let clock = || async {
        let clock = "select extract(epoch from clock_timestamp())::float8";
        sqlx::query_scalar::<_, f64>(clock)
            .fetch_one(&pool)
            .await
            .unwrap()
    };
    let began = clock().await;
    let end = Instant::now() + RUN;

    let takers = (0..1_000_u32).map(|taker| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let budget = Budget {
                pool: &pool,
                limits: [Some(LIMIT), None, None, None],
            };
            let mut taken = 0;
            while Instant::now() < end {
                match budget.take(1, 1 + taker % 3, None).await {
                    Admitted::Granted { tokens, .. } => taken += u64::from(tokens),
                    Admitted::Empty { wait } => sleep(wait).await,
                    open @ Admitted::Open { .. } => panic!("{open:?}"),
                }
            }
            taken
        })
    });
    let taken: u64 = join_all(takers).await.into_iter().map(Result::unwrap).sum();
    let ended = clock().await;

    let seconds = ended.floor() - began.floor() + 1.0;
    let most = seconds * f64::from(LIMIT);
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let taken = taken as f64;
    assert!(taken <= most * 1.02, "{taken} taken of {most}");
    // The first and the last second are not whole.
    let least = (seconds - 2.0) * f64::from(LIMIT);
    assert!(taken >= least * 0.98, "{taken} taken of at least {least}");
}
