//! How long a year of daily candles takes, of a symbol that was polled every 10 s.

use std::time::{Duration, Instant};

use chrono::{Months, TimeDelta};
use shared::market::Timestamp;
use shared::repository::ingest::fold_quarters;
use shared::repository::partitions::{PRICE_POINTS, make_ahead};
use sqlx::PgPool;

use crate::fixture::Api;

const REQUESTS: usize = 51;
const LIMIT: Duration = Duration::from_millis(100);

/// Stores a point every 10 s from one time to another.
async fn store_points(pool: &PgPool, from: Timestamp, to: Timestamp) {
    for month in 0..14 {
        let month = from.checked_add_months(Months::new(month)).expect("a time");
        make_ahead(pool, PRICE_POINTS, month)
            .await
            .expect("partitions");
    }

    let series = "insert into series (symbol, provider, last_at, last_polled_at, last_price, last_average, last_points,
                                      last_currency)
                  values ('AAPL', 'quoter', $1, $1, 500, 500, 5, 'USD') returning series_id";
    let series: i32 = sqlx::query_scalar(series)
        .bind(to)
        .fetch_one(pool)
        .await
        .expect("a series");

    sqlx::query("insert into units values (1, 'USD')")
        .execute(pool)
        .await
        .expect("a unit");
    sqlx::query(
        "insert into price_points (quoted_at, polled_at, event_id, series_id, points, price, moving_average, unit_id)
         select at, at, gen_random_uuid(), $1, 5, round((500 + 100 * random())::numeric, 2), 500.123, 1
         from generate_series($2::timestamptz, $3, interval '10 s') as at",
    )
    .bind(series)
    .bind(from)
    .bind(to)
    .execute(pool)
    .await
    .expect("points");
}

#[tokio::test]
#[ignore = "stores three million points; run it with --ignored, alone"]
async fn a_year_of_daily_candles_of_three_million_points_takes_less_than_100_ms() {
    let api = Api::start().await;
    let to: Timestamp = "2026-11-27T12:03:00Z".parse().expect("a time");
    store_points(&api.pool, to - TimeDelta::days(366), to).await;
    sqlx::query("update _sqlx_migrations set installed_on = installed_on - interval '2 hours'")
        .execute(&api.pool)
        .await
        .expect("an update");

    let begun = Instant::now();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(600);
    let folded = fold_quarters(&api.pool, deadline).await.expect("folds");
    println!("{folded} quarter hours folded in {:.1?}", begun.elapsed());

    let mut slowest = Duration::ZERO;
    for zone in ["UTC", "America/New_York", "Asia/Kathmandu"] {
        let path = format!("/prices/candles?symbol=AAPL&interval=1d&tz={zone}&limit=365");
        let mut times = Vec::with_capacity(REQUESTS);
        for _ in 0..REQUESTS {
            let begun = Instant::now();
            let answered = api.get(&path).await;
            times.push(begun.elapsed());
            assert_eq!(answered.each("points").len(), 365);
        }

        times.sort();
        let (p50, slowest_one) = (times[REQUESTS / 2], times[REQUESTS - 1]);
        println!("365 days in {zone}: p50 {p50:.1?}, slowest {slowest_one:.1?}");
        slowest = slowest.max(p50);
    }
    assert!(slowest < LIMIT, "{slowest:?}");
}
