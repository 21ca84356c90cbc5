//! A client that follows the changes has what is stored, whatever is stored meanwhile; and if it
//! cannot, it is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use shared::price_event::PriceEvent;
use shared::repository::changes::{Changes, Followed, Kind, Position, ReadError, Start, read};
use shared::repository::ingest::Ingest;
use sqlx::{PgPool, raw_sql};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::property::rand_seed;
use crate::reference::{Key, Point, stored};
use crate::units::quote;

mod lost;

const SERIES: u8 = 6;

/// A client that keeps all points.
struct Follower {
    start: Start,
    table: BTreeMap<Key, Point>,
}

impl Follower {
    fn new() -> Self {
        Self {
            start: Start::Beginning,
            table: BTreeMap::new(),
        }
    }

    /// Reads a page, and returns it.
    async fn page(&mut self, pool: &PgPool, limit: usize) -> Result<Changes, ReadError> {
        let mut connection = pool.acquire().await.unwrap();
        let page = read(&mut connection, &followed(), &self.start, limit).await?;
        assert!(page.items.len() <= limit);

        for change in &page.items {
            let key = (
                change.symbol.to_string(),
                change.provider.to_string(),
                change.point.timestamp,
            );
            let point = Point {
                price: change.point.price.to_string(),
                currency: change.point.currency.as_ref().map(ToString::to_string),
                polled_at: change.point.polled_at,
                average: change.point.moving_average.to_string(),
                points: change.point.points.into(),
            };

            let newest = self.table.range(..).rev();
            let newest = newest.map(|(key, _)| key).find(|known| known.0 == key.0);
            let is_new = newest.is_none_or(|newest| newest.2 < key.2);
            assert_eq!(change.kind == Kind::New, is_new, "{key:?}");

            let before = self.table.insert(key.clone(), point.clone());
            assert_ne!(before, Some(point), "{key:?} comes twice");
        }

        self.start = Start::After(page.position.clone());
        Ok(page)
    }

    /// Reads until there is nothing more.
    async fn catch_up(&mut self, pool: &PgPool, limit: usize) {
        loop {
            let page = self.page(pool, limit).await.unwrap();
            if page.items.is_empty() && !page.more {
                return;
            }
        }
    }
}

/// All series of these tests.
fn followed() -> Followed {
    let symbols = (0..SERIES).map(|number| format!("S{number}").parse().unwrap());
    Followed {
        symbols: symbols.collect(),
        provider: None,
    }
}

/// Quotes of a few seconds, polled in any order: new, late, repeated and revised. No two have the
/// same price.
fn events(random: &mut StdRng, count: usize) -> Vec<PriceEvent> {
    let event = |_| {
        let timestamp = DateTime::UNIX_EPOCH + TimeDelta::seconds(random.random_range(0..200));
        PriceEvent {
            id: Uuid::from_u128(random.random()),
            symbol: format!("S{}", random.random_range(0..SERIES))
                .parse()
                .unwrap(),
            price: format!(
                "{}.{:09}",
                random.random_range(1..900),
                random.random_range(1..1_000_000_000)
            )
            .parse()
            .unwrap(),
            currency: None,
            timestamp,
            provider: "yahoo".parse().unwrap(),
            polled_at: DateTime::UNIX_EPOCH
                + TimeDelta::microseconds(random.random_range(0..1_000_000_000)),
            raw_response_id: None,
        }
    };
    (0..count).map(event).collect()
}

/// Stores random batches, some of them twice.
async fn write(pool: PgPool, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let ingest = Ingest::new(pool);

    for _ in 0..40 {
        let count = random.random_range(1..30);
        let batch = events(&mut random, count);
        for _ in 0..random.random_range(1..3) {
            ingest.store(&batch, &[]).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..8))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_client_that_follows_has_each_change_once_and_ends_with_what_is_stored() {
    let seed = rand_seed();
    println!("seed {seed}; repeat with PROPTEST_RNG_SEED={seed}");

    for case in 0..4 {
        let pool = e2e::postgres::database().await.unwrap();
        let mut writers = JoinSet::new();
        for writer in 0..3 {
            writers.spawn(write(pool.clone(), seed.wrapping_add(case * 3 + writer)));
        }

        let writing = Arc::new(AtomicBool::new(true));
        let following = {
            let (pool, writing) = (pool.clone(), Arc::clone(&writing));
            let mut random = StdRng::seed_from_u64(seed);
            async move {
                let mut follower = Follower::new();
                while writing.load(Ordering::Acquire) {
                    let limit = random.random_range(1..40);
                    follower.page(&pool, limit).await.unwrap();
                }
                follower.catch_up(&pool, 7).await;
                follower.table
            }
        };
        let following = tokio::spawn(following);

        writers.join_all().await;
        writing.store(false, Ordering::Release);

        let expected = stored(&pool).await;
        assert!(!expected.is_empty());
        assert_eq!(following.await.unwrap(), expected);

        // One that begins later has the same.
        let mut late = Follower::new();
        late.catch_up(&pool, 13).await;
        assert_eq!(late.table, expected);
    }
}

#[tokio::test]
async fn a_batch_that_is_not_committed_yet_is_not_passed() {
    let pool = e2e::postgres::database().await.unwrap();
    let [first, second, late, next] = [0, 20, 10, 30].map(|second| quote("S1", "5", None, second));
    let other = quote("S2", "7", None, 0);

    let writer = Ingest::new(pool.clone());
    writer.store(&[first, second], &[]).await.unwrap();
    let mut follower = Follower::new();
    follower.catch_up(&pool, 100).await;

    // The batch has its count, and waits for the list of changes.
    let mut blocker = pool.begin().await.unwrap();
    raw_sql("lock table late_points in exclusive mode")
        .execute(&mut *blocker)
        .await
        .unwrap();
    let slow = {
        let writer = Ingest::new(pool.clone());
        tokio::spawn(async move { writer.store(&[late, next], &[]).await })
    };
    e2e::waiting::until("a batch that waits", Duration::from_secs(20), async || {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        (waiting > 0).then_some(())
    })
    .await;

    // Another one behind another fence is committed meanwhile, and read.
    writer.store(&[other], &[]).await.unwrap();
    let page = follower.page(&pool, 100).await.unwrap();
    let read: Vec<&str> = page.items.iter().map(|item| item.symbol.as_str()).collect();
    assert_eq!(read, ["S2"]);

    blocker.rollback().await.unwrap();
    slow.await.unwrap().unwrap();
    follower.catch_up(&pool, 100).await;
    assert_eq!(follower.table, stored(&pool).await);
}

#[tokio::test]
async fn a_client_without_a_past_has_what_comes_from_then_on_and_new_series_from_their_start() {
    let pool = e2e::postgres::database().await.unwrap();
    let writer = Ingest::new(pool.clone());
    let at = |symbol, second| quote(symbol, "5", None, second);
    writer
        .store(&[at("S1", 0), at("S1", 10)], &[])
        .await
        .unwrap();

    let mut follower = Follower::new();
    follower.start = Start::Now;
    assert_eq!(follower.page(&pool, 100).await.unwrap().items, []);

    writer
        .store(&[at("S1", 20), at("S2", 0), at("S2", 5)], &[])
        .await
        .unwrap();
    let page = follower.page(&pool, 100).await.unwrap();
    let read: Vec<(&str, i64)> = page
        .items
        .iter()
        .map(|item| {
            (
                item.symbol.as_str(),
                item.point.timestamp.timestamp() - 1_700_000_000,
            )
        })
        .collect();
    assert_eq!(read, [("S2", 0), ("S2", 5), ("S1", 20)]);
}

#[tokio::test]
async fn a_series_with_a_long_past_does_not_delay_the_others() {
    let pool = e2e::postgres::database().await.unwrap();
    let writer = Ingest::new(pool.clone());
    let past: Vec<_> = (0..300)
        .map(|second| quote("S1", "5", None, second))
        .collect();
    writer.store(&past, &[]).await.unwrap();
    writer
        .store(&[quote("S2", "5", None, 0)], &[])
        .await
        .unwrap();

    let mut follower = Follower::new();
    let page = follower.page(&pool, 10).await.unwrap();
    assert!(page.more);
    assert!(page.items.iter().any(|item| item.symbol.as_str() == "S2"));

    writer
        .store(&[quote("S2", "5", None, 1)], &[])
        .await
        .unwrap();
    let page = follower.page(&pool, 10).await.unwrap();
    assert!(page.items.iter().any(|item| item.symbol.as_str() == "S2"));

    follower.catch_up(&pool, 10).await;
    assert_eq!(follower.table, stored(&pool).await);
    assert_ne!(follower.start, Start::After(Position::default()));
}
