//! The views that readers of the database use: stable columns, true rows, and index look-ups.

use chrono::TimeDelta;
use serde_json::Value;
use shared::price_event::PriceEvent;
use shared::repository::ingest::Ingest;
use shared::repository::partitions::{PRICE_POINTS, make_ahead};
use sqlx::{AssertSqlSafe, PgPool};

use crate::world::{at, quote};

/// Stores 600 points of each of `symbols`, a point per hour from June 2023, in one partition per
/// month.
async fn fill(pool: &PgPool, symbols: &[&str]) {
    make_ahead(pool, PRICE_POINTS, at("2023-06-01T00:00:00Z"))
        .await
        .unwrap();

    for symbol in symbols {
        let points: Vec<PriceEvent> = (0..600)
            .map(|hour| PriceEvent {
                symbol: symbol.parse().unwrap(),
                currency: Some("USD".parse().unwrap()),
                ..quote(
                    at("2023-06-20T00:00:00Z") + TimeDelta::hours(hour.into()),
                    hour + 1,
                )
            })
            .collect();

        Ingest::new(pool.clone()).store(&points, &[]).await.unwrap();
    }
}

/// The nodes of the plan for `select`, each as a JSON object.
async fn plan(pool: &PgPool, select: &str) -> Vec<Value> {
    let explain = format!("explain (format json) {select}");
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(explain))
        .fetch_one(pool)
        .await
        .unwrap();

    let mut nodes = Vec::new();
    let mut open = vec![plan[0]["Plan"].clone()];
    while let Some(node) = open.pop() {
        open.extend(node["Plans"].as_array().into_iter().flatten().cloned());
        nodes.push(node);
    }
    nodes
}

/// Asserts that each partition in the plan of `select` is searched by series and quote time, and
/// that the plan reads no other partition than `partitions`.
async fn assert_looked_up(pool: &PgPool, select: &str, partitions: &[&str]) {
    let nodes = plan(pool, select).await;

    let searches: Vec<&Value> = nodes
        .iter()
        .filter(|node| matches!(node["Index Name"].as_str(), Some(name) if name.starts_with("price_points_")))
        .collect();
    for search in &searches {
        let condition = search["Index Cond"].as_str().unwrap();
        assert!(condition.contains("series_id = s.series_id"), "{condition}");
        assert!(condition.contains("quoted_at"), "{condition}");
    }

    let mut read: Vec<&str> = nodes
        .iter()
        .filter_map(|node| node["Relation Name"].as_str())
        .filter(|name| name.starts_with("price_points_"))
        .collect();
    read.sort_unstable();
    assert_eq!(read, partitions, "{nodes:#?}");
    assert_eq!(searches.len(), partitions.len(), "{nodes:#?}");
}

#[tokio::test]
async fn a_symbol_and_a_time_range_are_looked_up_by_index_in_their_partitions_only() {
    let pool = e2e::postgres::database().await.unwrap();
    fill(&pool, &["AAPL", "MSFT", "IBM", "GOOG"]).await;

    // Before Postgres has statistics, and with them: a new database must not be slow for a day.
    for statistics in [false, true] {
        if statistics {
            sqlx::raw_sql("analyze").execute(&pool).await.unwrap();
        }

        assert_looked_up(
            &pool,
            "select * from prices where symbol = 'IBM'
             and quoted_at >= '2023-07-03' and quoted_at < '2023-07-04'",
            &["price_points_from_20230701"],
        )
        .await;
        assert_looked_up(
            &pool,
            "select price from prices where symbol = 'IBM' and provider = 'yahoo'
             and quoted_at between '2023-06-29' and '2023-07-02' order by quoted_at",
            &["price_points_from_20230601", "price_points_from_20230701"],
        )
        .await;
        assert_looked_up(
            &pool,
            "select exists (select from prices where symbol = 'IBM' and provider = 'yahoo'
             and quoted_at = '2023-07-03 12:00+00')",
            &["price_points_from_20230701"],
        )
        .await;
    }
}

#[tokio::test]
async fn the_newest_prices_are_read_without_the_points() {
    let pool = e2e::postgres::database().await.unwrap();
    fill(&pool, &["AAPL"]).await;

    let nodes = plan(&pool, "select * from latest_prices where symbol = 'AAPL'").await;

    for node in nodes {
        assert_eq!(node["Relation Name"], "series", "{node}");
    }
}

#[tokio::test]
async fn the_views_show_every_point_once_with_its_own_unit() {
    let pool = e2e::postgres::database().await.unwrap();
    let start = at("2023-06-20T00:00:00Z");
    let units = [Some("GBp"), None, Some("GBP")];
    let events: Vec<PriceEvent> = (0..)
        .zip(units)
        .map(|(second, unit)| PriceEvent {
            currency: unit.map(|unit| unit.parse().unwrap()),
            ..quote(
                start + TimeDelta::seconds(second),
                u32::try_from(second).unwrap() + 10,
            )
        })
        .collect();
    Ingest::new(pool.clone()).store(&events, &[]).await.unwrap();

    let rows: Vec<(String, String, String, Option<String>, i16)> = sqlx::query_as(
        "select symbol, provider, price::text, currency, points from prices order by quoted_at",
    )
    .fetch_all(&pool)
    .await
    .unwrap();

    let row = |price: &str, unit: Option<&str>| {
        let owned = |text: &str| text.to_owned();
        (
            owned("AAPL"),
            owned("yahoo"),
            owned(price),
            unit.map(owned),
            1,
        )
    };
    let expected = [
        row("10", Some("GBp")),
        row("11", None),
        row("12", Some("GBP")),
    ];
    assert_eq!(rows, expected);

    let newest_equal: bool = sqlx::query_scalar(
        "select (select l from latest_prices l) is not distinct from
                (select p::text::latest_prices from prices p order by quoted_at desc limit 1)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert!(newest_equal);
}

#[tokio::test]
async fn a_point_older_than_units_shows_the_unit_that_its_series_had() {
    let pool = e2e::postgres::database().await.unwrap();
    fill(&pool, &["AAPL"]).await;
    sqlx::raw_sql(
        "update price_points set unit_id = null;
         update series set old_unit_id = (select unit_id from units where unit = 'USD')",
    )
    .execute(&pool)
    .await
    .unwrap();

    let units: Vec<(Option<String>, i64)> =
        sqlx::query_as("select currency, count(*) from prices group by currency")
            .fetch_all(&pool)
            .await
            .unwrap();

    assert_eq!(units, [(Some("USD".to_owned()), 600)]);
}

#[tokio::test]
async fn the_columns_of_the_views_never_change() {
    let pool = e2e::postgres::database().await.unwrap();

    for view in ["prices", "latest_prices"] {
        let columns: Vec<(String, String)> = sqlx::query_as(
            "select attname::text, format_type(atttypid, atttypmod) from pg_attribute
             where attrelid = $1::regclass and attnum > 0 order by attnum",
        )
        .bind(view)
        .fetch_all(&pool)
        .await
        .unwrap();

        let columns: Vec<(&str, &str)> = columns
            .iter()
            .map(|(name, kind)| (name.as_str(), kind.as_str()))
            .collect();
        let expected = [
            ("symbol", "text"),
            ("provider", "text"),
            ("quoted_at", "timestamp with time zone"),
            ("price", "numeric"),
            ("currency", "text"),
            ("moving_average", "numeric"),
            ("points", "smallint"),
            ("polled_at", "timestamp with time zone"),
        ];
        assert_eq!(columns, expected, "{view}");
    }
}
