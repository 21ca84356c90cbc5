//! Folding beside writers: neither waits for the other longer than it must, and no late point is
//! lost.

use e2e::waiting::until;
use sqlx::PgPool;
use tokio::time::timeout;

use super::{PATIENCE, database, fold, folded, hours, quote_at};
use crate::world::store;

/// Waits until a session waits for a lock in a statement that contains `words`.
async fn until_one_waits(pool: &PgPool, words: &str) {
    until("session that waits for a lock", PATIENCE, async || {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock' and strpos(query, $1) > 0
               and pid <> pg_backend_pid()",
        )
        .bind(words)
        .fetch_one(pool)
        .await
        .unwrap();
        (waiting > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn appended_points_neither_wait_for_folding_nor_look_for_folds() {
    let pool = database().await;
    store(&pool, &[quote_at("10:01:00", 1), quote_at("12:00:00", 5)]).await;
    fold(&pool).await;

    let mut folding = pool.begin().await.unwrap();
    sqlx::query(
        "lock table folded_series, folded_quarters, stale_quarters in access exclusive mode",
    )
    .execute(&mut *folding)
    .await
    .unwrap();

    // A writer's first batch takes the long path, and the next one the short path.
    let writer = shared::repository::ingest::Ingest::new(pool.clone());
    for (time, price) in [("12:01:00", 6), ("12:20:00", 7), ("12:40:00", 8)] {
        let stored = timeout(PATIENCE, async {
            writer.store(&[quote_at(time, price)], &[]).await.unwrap()
        });
        assert_eq!(stored.await.expect("no wait").added, 1);
    }
}

/// Folding has read the points of a quarter hour when a late point of it arrives.
#[tokio::test]
async fn a_late_point_that_arrives_while_its_quarter_hour_is_folded_is_not_lost() {
    let pool = database().await;
    store(&pool, &[quote_at("09:00:00", 1)]).await;
    fold(&pool).await;
    store(&pool, &[quote_at("10:01:00", 10), quote_at("12:00:00", 5)]).await;

    // Folding stops before its last statement: it holds the series' row, and has written the folds.
    let mut blocker = pool.begin().await.unwrap();
    sqlx::query("lock table folded_series in share mode")
        .execute(&mut *blocker)
        .await
        .unwrap();
    let folding = tokio::spawn({
        let pool = pool.clone();
        async move { fold(&pool).await }
    });
    until_one_waits(&pool, "update folded_series").await;

    let late = tokio::spawn({
        let pool = pool.clone();
        async move { store(&pool, &[quote_at("10:02:00", 99)]).await }
    });
    until_one_waits(&pool, "insert into stale_quarters").await;

    blocker.rollback().await.unwrap();
    assert_eq!(late.await.unwrap().added, 1);
    folding.await.unwrap();

    let expected = ["12:00 5 5 5 5 1", "10:00 10 99 10 99 2", "09:00 1 1 1 1 1"];
    assert_eq!(hours(&pool).await, expected);
    fold(&pool).await;
    assert_eq!(hours(&pool).await, expected);
    assert_eq!(folded(&pool).await, ["09:00 1", "10:00 2"]);
}

/// A late point is written and not yet committed when folding begins.
#[tokio::test]
async fn folding_passes_over_a_series_whose_late_point_is_not_committed() {
    let pool = database().await;
    store(&pool, &[quote_at("09:00:00", 1)]).await;
    fold(&pool).await;
    store(&pool, &[quote_at("10:01:00", 10), quote_at("12:00:00", 5)]).await;

    let (blocker, late) = uncommitted_late_point(&pool).await;
    assert_eq!(fold(&pool).await, 0);

    blocker.rollback().await.unwrap();
    assert_eq!(late.await.unwrap(), 1);
    fold(&pool).await;
    assert_eq!(folded(&pool).await, ["09:00 1", "10:00 2"]);
    assert_eq!(
        hours(&pool).await,
        ["12:00 5 5 5 5 1", "10:00 10 99 10 99 2", "09:00 1 1 1 1 1"]
    );
}

/// The same before the series was ever folded, so that there is no row to lock.
#[tokio::test]
async fn the_first_folding_of_a_series_waits_for_writers_that_are_at_work() {
    let pool = database().await;
    store(&pool, &[quote_at("10:01:00", 10), quote_at("12:00:00", 5)]).await;

    let (blocker, late) = uncommitted_late_point(&pool).await;
    let folding = tokio::spawn({
        let pool = pool.clone();
        async move { fold(&pool).await }
    });
    until_one_waits(&pool, "from ingest_fences").await;

    blocker.rollback().await.unwrap();
    assert_eq!(late.await.unwrap(), 1);
    folding.await.unwrap();
    assert_eq!(folded(&pool).await, ["10:00 2"]);
    assert_eq!(
        hours(&pool).await,
        ["12:00 5 5 5 5 1", "10:00 10 99 10 99 2"]
    );
}

/// Stores a late point in another task, which stops before it commits, until the returned
/// transaction ends.
async fn uncommitted_late_point(
    pool: &PgPool,
) -> (
    sqlx::Transaction<'static, sqlx::Postgres>,
    tokio::task::JoinHandle<usize>,
) {
    let mut blocker = pool.begin().await.unwrap();
    sqlx::query("lock table series in share mode")
        .execute(&mut *blocker)
        .await
        .unwrap();

    let late = tokio::spawn({
        let pool = pool.clone();
        async move { store(&pool, &[quote_at("10:02:00", 99)]).await.added }
    });
    until_one_waits(pool, "update series").await;
    (blocker, late)
}
