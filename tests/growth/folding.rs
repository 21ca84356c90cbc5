//! Upkeep folds past quarter hours, and candles that are read from them are those of the points,
//! whatever writers do meanwhile.

use std::time::Duration;

use chrono::TimeDelta;
use shared::candle::{Grid, Interval, Zone};
use shared::price_event::PriceEvent;
use shared::repository::candles::newest;
use shared::repository::ingest::fold_quarters;
use shared::repository::partitions::{PRICE_POINTS, drop_before, make_ahead};
use shared::repository::price_points::Range;
use sqlx::PgPool;
use tokio::time::{Instant, timeout};

use crate::world::{at, quote, store};

mod writers;

const PATIENCE: Duration = Duration::from_secs(20);

/// A migrated database in which folding has begun to be allowed.
pub(crate) async fn database() -> PgPool {
    let pool = e2e::postgres::database().await.unwrap();
    allow_folding(&pool).await;
    pool
}

async fn allow_folding(pool: &PgPool) {
    sqlx::query("update _sqlx_migrations set installed_on = installed_on - interval '2 hours'")
        .execute(pool)
        .await
        .unwrap();
}

/// Folds all that can be folded, and returns the number of rows written.
pub(crate) async fn fold(pool: &PgPool) -> u64 {
    let folded = timeout(2 * PATIENCE, fold_quarters(pool, Instant::now() + PATIENCE));
    folded.await.expect("it waits for no writer").unwrap()
}

/// The candles of AAPL by the hour, newest first.
async fn hours(pool: &PgPool) -> Vec<String> {
    let grid = Grid {
        interval: Interval::Hour,
        zone: Zone::UTC,
    };
    candles(pool, grid).await
}

/// The candles of AAPL, newest first: start, open, high, low, close and points.
async fn candles(pool: &PgPool, grid: Grid) -> Vec<String> {
    let series: i32 = sqlx::query_scalar("select series_id from series where symbol = 'AAPL'")
        .fetch_one(pool)
        .await
        .unwrap();

    let mut connection = pool.acquire().await.unwrap();
    let candles = newest(&mut connection, series, grid, Range::default(), 100);
    candles
        .await
        .unwrap()
        .iter()
        .map(|candle| {
            format!(
                "{} {} {} {} {} {}",
                candle.period.start.format("%H:%M"),
                candle.open,
                candle.high,
                candle.low,
                candle.close,
                candle.points
            )
        })
        .collect()
}

/// The quarter hours that are folded.
async fn folded(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "select to_char(starts_at at time zone 'UTC', 'HH24:MI') || ' ' || points
         from folded_quarters order by starts_at",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// A quote at this time of one day.
fn quote_at(time: &str, price: u32) -> PriceEvent {
    quote(at(&format!("2024-03-20T{time}Z")), price)
}

#[tokio::test]
async fn quarter_hours_before_that_of_the_newest_point_are_folded() {
    let pool = database().await;
    store(
        &pool,
        &[
            quote_at("10:01:00", 1),
            quote_at("10:14:59", 2),
            quote_at("10:15:00", 3),
            quote_at("11:59:00", 4),
            quote_at("12:00:00", 5),
        ],
    )
    .await;

    assert_eq!(fold(&pool).await, 3);
    assert_eq!(folded(&pool).await, ["10:00 2", "10:15 1", "11:45 1"]);
    assert_eq!(fold(&pool).await, 0, "there is nothing left to fold");
    assert_eq!(
        hours(&pool).await,
        ["12:00 5 5 5 5 1", "11:00 4 4 4 4 1", "10:00 1 3 1 3 3"]
    );
}

#[tokio::test]
async fn nothing_is_folded_while_functions_of_the_version_before_may_run() {
    let pool = e2e::postgres::database().await.unwrap();
    store(&pool, &[quote_at("10:01:00", 1), quote_at("12:00:00", 5)]).await;

    assert_eq!(fold(&pool).await, 0);
    assert_eq!(
        hours(&pool).await.len(),
        2,
        "candles are made of the points"
    );

    allow_folding(&pool).await;
    assert_eq!(fold(&pool).await, 1);
}

#[tokio::test]
async fn candles_are_read_from_the_folds() {
    let pool = database().await;
    store(&pool, &[quote_at("10:01:00", 1), quote_at("12:00:00", 5)]).await;
    fold(&pool).await;

    sqlx::query("update folded_quarters set high = 99")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(hours(&pool).await[1], "10:00 1 99 1 1 1");
}

#[tokio::test]
async fn late_and_corrected_points_change_candles_at_once_and_their_folds_with_the_next_run() {
    let pool = database().await;
    store(&pool, &[quote_at("10:01:00", 10), quote_at("12:00:00", 5)]).await;
    fold(&pool).await;

    let corrected = PriceEvent {
        polled_at: at("2024-03-20T13:00:00Z"),
        ..quote_at("10:01:00", 20)
    };
    store(&pool, &[quote_at("10:50:00", 30), corrected]).await;
    let expected = ["12:00 5 5 5 5 1", "10:00 20 30 20 30 2"];
    assert_eq!(hours(&pool).await, expected);

    assert_eq!(fold(&pool).await, 2);
    assert_eq!(folded(&pool).await, ["10:00 1", "10:45 1"]);
    assert_eq!(hours(&pool).await, expected);

    let marks: i64 = sqlx::query_scalar("select count(*) from stale_quarters")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(marks, 0);
}

/// Off-hours every poll repeats the last quote; that must not cost a fold.
#[tokio::test]
async fn a_repeated_quote_leaves_its_fold_as_it_is() {
    let pool = database().await;
    store(&pool, &[quote_at("10:01:00", 10), quote_at("12:00:00", 5)]).await;
    fold(&pool).await;

    let repeated = PriceEvent {
        polled_at: at("2024-03-20T13:00:00Z"),
        ..quote_at("10:01:00", 10)
    };
    assert_eq!(store(&pool, &[repeated]).await.revised, 1);
    assert_eq!(fold(&pool).await, 0);
}

#[tokio::test]
async fn a_long_backlog_is_folded_in_parts_and_completely() {
    let pool = database().await;
    let start = at("2024-03-20T10:00:00Z");
    // 50,000 in one quarter hour, and two a minute for two days after it.
    let dense = (0..50_000).map(|count| start + TimeDelta::milliseconds(10 * count));
    let sparse = (1..5_760).map(|count| start + TimeDelta::seconds(900 + 30 * count));
    let events: Vec<PriceEvent> = (1..)
        .zip(dense.chain(sparse))
        .map(|(n, t)| quote(t, n))
        .collect();
    store(&pool, &events).await;

    fold(&pool).await;
    let (points, rows): (i64, i64) =
        sqlx::query_as("select sum(points)::int8, count(*) from folded_quarters")
            .fetch_one(&pool)
            .await
            .unwrap();
    let newest = events.last().unwrap().timestamp;
    let before = newest - TimeDelta::seconds(newest.timestamp() % 900);
    let expected = events
        .iter()
        .filter(|event| event.timestamp < before)
        .count();
    assert_eq!((usize::try_from(points).unwrap(), rows), (expected, 192));
}

#[tokio::test]
async fn folds_of_dropped_points_are_neither_read_nor_kept() {
    let pool = database().await;
    for month in ["2024-01-01T00:00:00Z", "2024-03-20T00:00:00Z"] {
        make_ahead(&pool, PRICE_POINTS, at(month)).await.unwrap();
    }
    let [january, february, march] =
        ["01", "02", "03"].map(|month| at(&format!("2024-{month}-15T12:00:00Z")));
    store(
        &pool,
        &[quote(january, 1), quote(february, 2), quote(march, 3)],
    )
    .await;
    fold(&pool).await;
    assert_eq!(hours(&pool).await.len(), 3);

    drop_before(&pool, PRICE_POINTS, at("2024-02-10T00:00:00Z"))
        .await
        .unwrap();
    let expected = ["12:00 3 3 3 3 1", "12:00 2 2 2 2 1"];
    assert_eq!(hours(&pool).await, expected);
    assert_eq!(folded(&pool).await.len(), 2, "they are still there");

    fold(&pool).await;
    assert_eq!(folded(&pool).await, ["12:00 1"]);
    assert_eq!(hours(&pool).await, expected);
}

#[tokio::test]
async fn a_day_at_the_edge_of_retention_is_of_the_points_that_are_left() {
    let pool = database().await;
    for month in ["2024-01-01T00:00:00Z", "2024-03-20T00:00:00Z"] {
        make_ahead(&pool, PRICE_POINTS, at(month)).await.unwrap();
    }
    let [before, after] = ["2024-01-31T23:00:00Z", "2024-02-01T01:00:00Z"].map(at);
    let newest = at("2024-03-15T12:00:00Z");
    store(
        &pool,
        &[quote(before, 1), quote(after, 2), quote(newest, 3)],
    )
    .await;
    fold(&pool).await;

    let in_new_york = Grid {
        interval: Interval::Day,
        zone: "America/New_York".parse().unwrap(),
    };
    let whole = ["04:00 3 3 3 3 1", "05:00 1 2 1 2 2"];
    assert_eq!(candles(&pool, in_new_york).await, whole);

    drop_before(&pool, PRICE_POINTS, at("2024-02-10T00:00:00Z"))
        .await
        .unwrap();
    let left = ["04:00 3 3 3 3 1", "05:00 2 2 2 2 1"];
    assert_eq!(candles(&pool, in_new_york).await, left);
    fold(&pool).await;
    assert_eq!(candles(&pool, in_new_york).await, left);
}

#[tokio::test]
async fn the_folds_of_a_removed_series_go_with_it() {
    let pool = database().await;
    store(&pool, &[quote_at("10:01:00", 1), quote_at("12:00:00", 5)]).await;
    fold(&pool).await;

    sqlx::raw_sql("delete from price_points; delete from series")
        .execute(&pool)
        .await
        .unwrap();
    fold(&pool).await;
    let left: i64 = sqlx::query_scalar(
        "select (select count(*) from folded_series) + (select count(*) from folded_quarters)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(left, 0);
}
