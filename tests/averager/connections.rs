//! Connections whose session has changed or ended: the averager drops them and continues with new
//! ones.

use std::time::Duration;

use averager::handler::handle;
use e2e::link::Link;
use e2e::waiting::until;
use shared::repository;
use shared::repository::ingest::Ingest;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::time::{Instant, timeout};

use crate::batches::{batch, quote};

/// Stores a quote of this second. It must succeed within `patience`.
async fn store(ingest: &Ingest, second: u8, patience: Duration) -> Result<usize, String> {
    let event = batch(second.into(), &[&quote("1", second, second)]);
    let handled = handle(ingest, &event, Instant::now() + patience).await;

    handled
        .map(|summary| summary.added)
        .map_err(|error| error.to_string())
}

/// A pool of one connection, which no test ends.
async fn admin(url: &str) -> PgPool {
    PgPoolOptions::new()
        .max_connections(1)
        .connect(url)
        .await
        .unwrap()
}

/// Runs `statement`, with the database's name in place of `{}`.
async fn alter(admin: &PgPool, statement: &str) {
    let name: String = sqlx::query_scalar("select current_database()")
        .fetch_one(admin)
        .await
        .unwrap();

    sqlx::raw_sql(sqlx::AssertSqlSafe(statement.replace("{}", &name)))
        .execute(admin)
        .await
        .unwrap();
}

const END_OTHERS: &str = "select pg_terminate_backend(pid) from pg_stat_activity
                          where datname = current_database() and pid <> pg_backend_pid()";

#[tokio::test]
async fn after_a_failover_to_a_reader_and_back_batches_are_stored_again() {
    let url = e2e::postgres::database_url().await.unwrap();
    let (admin, ingest) = (
        admin(&url).await,
        Ingest::new(repository::connect(&url, 1).unwrap()),
    );
    assert_eq!(store(&ingest, 0, Duration::from_secs(20)).await, Ok(1));

    alter(
        &admin,
        "alter database {} set default_transaction_read_only = on",
    )
    .await;
    alter(&admin, END_OTHERS).await;

    let waited = store(&ingest, 1, Duration::from_secs(2)).await.unwrap_err();
    assert!(
        waited.starts_with("Postgres did not store the batch before the invocation's time ran out"),
        "{waited}"
    );
    assert!(
        waited.ends_with("; its last answer: Postgres is not available (SQLSTATE 25006)"),
        "{waited}"
    );

    alter(
        &admin,
        "alter database {} reset default_transaction_read_only",
    )
    .await;
    assert_eq!(store(&ingest, 1, Duration::from_secs(10)).await, Ok(1));
}

#[tokio::test]
async fn a_plan_or_a_search_path_of_yesterday_is_left_with_its_session() {
    let url = e2e::postgres::database_url().await.unwrap();
    let (admin, ingest) = (
        admin(&url).await,
        Ingest::new(repository::connect(&url, 1).unwrap()),
    );
    assert_eq!(store(&ingest, 0, Duration::from_secs(20)).await, Ok(1));

    // The late event prepares a statement that reads rows, whose type changes afterwards.
    assert_eq!(store(&ingest, 9, Duration::from_secs(20)).await, Ok(1));
    assert_eq!(store(&ingest, 5, Duration::from_secs(20)).await, Ok(1));

    alter(&admin, "alter table price_points add column later int").await;
    assert_eq!(store(&ingest, 4, Duration::from_secs(10)).await, Ok(1));

    alter(&admin, "alter database {} set search_path = nowhere").await;
    alter(&admin, END_OTHERS).await;
    store(&ingest, 10, Duration::from_secs(2))
        .await
        .unwrap_err();

    alter(&admin, "alter database {} reset search_path").await;
    assert_eq!(store(&ingest, 10, Duration::from_secs(10)).await, Ok(1));
}

#[tokio::test]
async fn a_statement_that_the_server_has_forgotten_is_prepared_anew() {
    let url = e2e::postgres::database_url().await.unwrap();
    let pool = repository::connect(&url, 1).unwrap();
    let ingest = Ingest::new(pool.clone());

    assert_eq!(store(&ingest, 0, Duration::from_secs(20)).await, Ok(1));
    drop(ingest);

    // A connection pooler may do this between two clients.
    sqlx::raw_sql("deallocate all")
        .execute(&pool)
        .await
        .unwrap();

    assert_eq!(
        store(&Ingest::new(pool), 1, Duration::from_secs(10)).await,
        Ok(1)
    );
}

#[tokio::test]
async fn a_connection_that_fell_silent_between_two_batches_is_replaced_at_once() {
    let url = e2e::postgres::database_url().await.unwrap();
    let link = Link::open(&url).await.unwrap();
    let ingest = Ingest::new(repository::connect(link.url(), 1).unwrap());

    assert_eq!(store(&ingest, 0, Duration::from_secs(20)).await, Ok(1));

    // A connection that was just used counts as sound and is not tested.
    tokio::time::sleep(Duration::from_millis(1_100)).await;

    link.silence();
    assert_eq!(store(&ingest, 1, Duration::from_millis(2_500)).await, Ok(1));
}

#[tokio::test]
async fn a_writer_that_vanished_amidst_its_batch_holds_up_others_for_seconds_only() {
    let url = e2e::postgres::database_url().await.unwrap();
    let (admin, link) = (admin(&url).await, Link::open(&url).await.unwrap());
    let vanishing = Ingest::new(repository::connect(link.url(), 1).unwrap());

    // A writer that waits for a locked table has passed its fences. After that it falls silent.
    let mut lock = admin.begin().await.unwrap();
    sqlx::query("lock table series")
        .execute(&mut *lock)
        .await
        .unwrap();

    let vanishing =
        tokio::spawn(async move { store(&vanishing, 0, Duration::from_secs(300)).await });

    let waiting =
        "select exists (select from pg_locks where not granted and relation = 'series'::regclass)";
    until("writer that waits", Duration::from_secs(20), async || {
        sqlx::query_scalar(waiting)
            .fetch_one(&mut *lock)
            .await
            .unwrap_or(false)
            .then_some(())
    })
    .await;

    // The writer must be silent before the lock is released, or it would commit.
    link.stall();
    lock.rollback().await.unwrap();

    let other = Ingest::new(repository::connect(&url, 1).unwrap());
    let stored = timeout(
        Duration::from_secs(60),
        store(&other, 1, Duration::from_secs(60)),
    )
    .await;
    assert_eq!(stored, Ok(Ok(1)));

    vanishing.abort();
}
