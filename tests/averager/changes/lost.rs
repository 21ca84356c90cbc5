//! Positions of a past that is gone: undone by a restore, or too long ago.

use shared::repository::changes::{ReadError, forget_old};
use shared::repository::ingest::Ingest;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use super::Follower;
use crate::reference::stored;
use crate::units::quote;

/// A pool on another database of the same server.
async fn pool_of(pool: &PgPool, database: &str) -> PgPool {
    let options = (*pool.connect_options()).clone().database(database);
    PgPoolOptions::new().connect_with(options).await.unwrap()
}

/// Copies a database, which must have no connections, and returns the name of the copy.
async fn backup(server: &PgPool, database: &str) -> String {
    let copy = format!("copy_{}", Uuid::new_v4().simple());
    let create = format!("create database {copy} template {database}");
    sqlx::query(AssertSqlSafe(create))
        .execute(server)
        .await
        .unwrap();
    copy
}

#[tokio::test]
async fn a_position_of_a_past_that_a_restore_undid_is_refused_and_an_earlier_one_goes_on() {
    let first = e2e::postgres::database().await.unwrap();
    let name = first.connect_options().get_database().unwrap().to_owned();
    let server = pool_of(&first, "postgres").await;
    let second = |number| quote("S1", "5", None, number);

    let writer = Ingest::new(first.clone());
    writer.store(&[second(0), second(10)], &[]).await.unwrap();
    let mut earlier = Follower::new();
    earlier.catch_up(&first, 100).await;
    // A writer keeps a connection.
    drop(writer);
    first.close().await;

    let copy = backup(&server, &name).await;
    let original = pool_of(&server, &name).await;
    let writer = Ingest::new(original.clone());
    for number in 1..4 {
        writer.store(&[second(20 * number)], &[]).await.unwrap();
    }
    let mut ahead = Follower::new();
    ahead.catch_up(&original, 100).await;
    drop(writer);
    original.close().await;

    // The restored database lacks the last three batches.
    let restored = pool_of(&server, &copy).await;
    let refused = |outcome| matches!(outcome, Err(ReadError::Gone));
    assert!(refused(ahead.page(&restored, 100).await));

    // It counts the same numbers again, and more, for the same quotes and others.
    let writer = Ingest::new(restored.clone());
    for number in 1..9 {
        writer
            .store(&[quote("S1", "6", None, 10 * number + 5)], &[])
            .await
            .unwrap();
        assert!(refused(ahead.page(&restored, 100).await), "after {number}");
    }

    earlier.catch_up(&restored, 100).await;
    assert_eq!(earlier.table, stored(&restored).await);

    // A restart of the server loses nothing: positions of before go on.
    sqlx::query("update ingest_fences set lineage = lineage + 1")
        .execute(&restored)
        .await
        .unwrap();
    Ingest::new(restored.clone())
        .store(&[second(7), second(300)], &[])
        .await
        .unwrap();
    earlier.catch_up(&restored, 100).await;
    assert_eq!(earlier.table, stored(&restored).await);
}

/// Makes all epochs older by this many days.
async fn age(pool: &PgPool, days: i32) {
    sqlx::query("update ingest_epochs set begun_at = begun_at - make_interval(days => $1)")
        .bind(days)
        .execute(pool)
        .await
        .unwrap();
}

async fn listed(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from late_points")
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn changes_are_known_for_a_week_and_then_a_position_is_told_that_they_are_not() {
    let pool = e2e::postgres::database().await.unwrap();
    let writer = Ingest::new(pool.clone());
    let store = async |second| {
        let quote = quote("S1", "5", None, second);
        writer.store(&[quote], &[]).await.unwrap();
    };

    store(100).await;
    let mut old = Follower::new();
    old.catch_up(&pool, 100).await;

    store(50).await;
    assert_eq!(listed(&pool).await, 2);

    // The day's epochs begin.
    age(&pool, 2).await;
    assert_eq!(forget_old(&pool).await.unwrap(), 0);
    assert_eq!(listed(&pool).await, 2);
    let mut recent = Follower::new();
    recent.catch_up(&pool, 100).await;

    age(&pool, 6).await;
    assert_eq!(
        forget_old(&pool).await.unwrap(),
        0,
        "the epoch is six days old"
    );
    age(&pool, 2).await;
    assert_eq!(forget_old(&pool).await.unwrap(), 2);

    assert!(matches!(old.page(&pool, 100).await, Err(ReadError::Gone)));
    store(60).await;
    recent.catch_up(&pool, 100).await;
    assert_eq!(recent.table, stored(&pool).await);
}
