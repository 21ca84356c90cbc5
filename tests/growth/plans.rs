//! Reads of a table with many partitions search only the partitions they need.

use std::time::Duration;

use chrono::TimeDelta;
use e2e::waiting::until;
use shared::repository::ingest::Ingest;
use shared::repository::partitions::{PRICE_POINTS, make_ahead};
use shared::repository::price_points::{Range, history};
use sqlx::postgres::{PgPool, PgPoolOptions};

use crate::world::{at, quote};

/// Waits for the statistics, and returns the partitions whose index was searched since the last
/// reset.
async fn searched(observer: &PgPool) -> Vec<String> {
    until(
        "statistics of a search",
        Duration::from_secs(20),
        async || {
            let tables: Vec<String> = sqlx::query_scalar(
                "select relname::text from pg_stat_user_tables
             where relname like 'price_points_%' and idx_scan > 0 order by relname",
            )
            .fetch_all(observer)
            .await
            .unwrap();
            (!tables.is_empty()).then_some(tables)
        },
    )
    .await
}

/// Makes the session report its statistics at once instead of when it is idle.
async fn count(pool: &PgPool) {
    sqlx::query("select pg_stat_force_next_flush()")
        .execute(pool)
        .await
        .unwrap();
}

async fn forget_searches(pool: &PgPool, observer: &PgPool) {
    count(pool).await;
    sqlx::query("select pg_stat_reset()")
        .execute(observer)
        .await
        .unwrap();
}

#[tokio::test]
async fn history_and_late_points_search_only_the_partitions_around_them() {
    let url = e2e::postgres::database_url().await.unwrap();
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect(&url)
        .await
        .unwrap();
    let observer = PgPoolOptions::new()
        .max_connections(1)
        .connect(&url)
        .await
        .unwrap();

    let start = at("2022-01-01T00:00:00Z");

    for month in 0..26 {
        let now = start
            .checked_add_months(chrono::Months::new(month))
            .unwrap();
        make_ahead(&pool, PRICE_POINTS, now).await.unwrap();

        let days = (0..10).map(|day| {
            quote(
                now + TimeDelta::days(day),
                1 + 10 * month + u32::try_from(day).unwrap(),
            )
        });

        // A writer keeps its connection, and the pool has only this one.
        Ingest::new(pool.clone())
            .store(&days.collect::<Vec<_>>(), &[])
            .await
            .unwrap();
    }
    let series: i32 = sqlx::query_scalar("select series_id from series")
        .fetch_one(&pool)
        .await
        .unwrap();

    forget_searches(&pool, &observer).await;
    let range = Range {
        from: None,
        to: Some(at("2023-06-09T00:00:00Z")),
    };
    let page = history(&pool, series, range, 5).await.unwrap();
    assert_eq!(page.len(), 5);
    count(&pool).await;
    assert_eq!(searched(&observer).await, ["price_points_from_20230601"]);

    forget_searches(&pool, &observer).await;
    let late = [quote(at("2023-04-05T12:00:00Z"), 1000)];
    let stored = Ingest::new(pool.clone()).store(&late, &[]).await.unwrap();
    assert_eq!(stored.added, 1);
    count(&pool).await;
    assert_eq!(searched(&observer).await, ["price_points_from_20230401"]);
}

#[tokio::test]
async fn a_writer_whose_plans_are_older_than_most_points_looks_late_ones_up_by_index() {
    let url = e2e::postgres::database_url().await.unwrap();
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect(&url)
        .await
        .unwrap();
    let others = PgPool::connect(&url).await.unwrap();
    let start = at("2026-11-01T00:00:00Z");
    let point = |second: u32| quote(start + TimeDelta::seconds(second.into()), second + 1);

    // The statistics of a table that fits into one page say that reading all of it is fastest.
    let writer = Ingest::new(pool.clone());
    let few: Vec<_> = (0..40).step_by(2).map(point).collect();
    writer.store(&few, &[]).await.unwrap();
    sqlx::raw_sql("analyze").execute(&others).await.unwrap();
    writer.store(&[point(11)], &[]).await.unwrap();

    let many: Vec<_> = (40..6_000).step_by(2).map(point).collect();
    let stored = Ingest::new(others.clone()).store(&many, &[]).await.unwrap();
    assert_eq!(stored.added, 2_980);
    let stored = writer.store(&[point(5_001)], &[]).await.unwrap();
    assert_eq!(stored.added, 1);

    // The writer's session reports its statistics once it is back in its pool.
    drop(writer);
    count(&pool).await;
    let read_whole: i64 = sqlx::query_scalar(
        "select sum(seq_tup_read)::int8 from pg_stat_user_tables where relname like 'price_points_%'",
    )
    .fetch_one(&others)
    .await
    .unwrap();
    assert!(
        read_whole < 1_000,
        "{read_whole} rows were read by whole reads"
    );
}

#[tokio::test]
async fn a_writer_s_plans_are_not_compiled_even_where_postgres_compiles_expensive_ones() {
    let url = e2e::postgres::database_url().await.unwrap();
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .after_connect(|connection, _| {
            Box::pin(async move {
                let compiled = sqlx::query("set jit = on").execute(connection).await;
                compiled.map(drop)
            })
        })
        .connect(&url)
        .await
        .unwrap();

    let writer = Ingest::new(pool.clone());
    writer
        .store(&[quote(at("2026-11-01T00:00:00Z"), 1)], &[])
        .await
        .unwrap();

    // The writer's session, once it is back in its pool.
    drop(writer);
    let compiles: String = sqlx::query_scalar("show jit")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(compiles, "off");
}
