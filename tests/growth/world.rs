//! Quotes to store, and the partitions that hold them.

use chrono::{DateTime, TimeDelta};
use shared::config::Retention;
use shared::market::Timestamp;
use shared::price_event::PriceEvent;
use shared::repository::ingest::{Ingest, Stored};
use sqlx::PgPool;
use upkeep::failure::Failures;
use upkeep::growth::{self, Trimmed};
use uuid::Uuid;

pub(crate) fn at(text: &str) -> Timestamp {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

/// A quote of AAPL, polled a second after its time.
pub(crate) fn quote(timestamp: Timestamp, price: u32) -> PriceEvent {
    PriceEvent {
        id: Uuid::from_u128(price.into()),
        symbol: "AAPL".parse().unwrap(),
        price: price.to_string().parse().unwrap(),
        currency: None,
        timestamp,
        provider: "yahoo".parse().unwrap(),
        polled_at: timestamp + TimeDelta::seconds(1),
        raw_response_id: None,
    }
}

pub(crate) async fn store(pool: &PgPool, events: &[PriceEvent]) -> Stored {
    Ingest::new(pool.clone()).store(events, &[]).await.unwrap()
}

/// Runs upkeep's growth tasks at `now`, and asserts that none fails.
pub(crate) async fn trim(pool: &PgPool, retention: &Retention, now: Timestamp) -> Trimmed {
    let (mut trimmed, mut failures) = (Trimmed::default(), Failures::default());

    growth::make_ahead(pool, now, &mut trimmed, &mut failures).await;
    growth::trim(pool, retention, now, &mut trimmed, &mut failures).await;

    assert_eq!(failures.0, []);
    trimmed
}

/// The bounds of each partition, in the order of time.
pub(crate) async fn bounds(pool: &PgPool, table: &str) -> Vec<String> {
    sqlx::query_scalar(
        "select replace(replace(replace(bound, ' 00:00:00+00', ''), 'FOR VALUES FROM ', ''), '''', '')
         from pg_inherits join pg_class part on part.oid = inhrelid
         cross join lateral pg_get_expr(part.relpartbound, part.oid) as bound
         where inhparent = $1::regclass
         order by bound like '%FROM (MINVALUE)%' desc, bound",
    )
    .bind(table)
    .fetch_all(pool)
    .await
    .unwrap()
}

/// The quote times of the points in the partition that begins at `lower`.
pub(crate) async fn points_from(pool: &PgPool, lower: &str) -> Vec<Timestamp> {
    let name: String = sqlx::query_scalar(
        "select part.oid::regclass::text from pg_inherits join pg_class part on part.oid = inhrelid
         cross join lateral pg_get_expr(part.relpartbound, part.oid) as bound
         where inhparent = 'price_points'::regclass and bound like '%FROM (''' || $1 || '%'",
    )
    .bind(lower)
    .fetch_one(pool)
    .await
    .unwrap();

    let select = format!("select quoted_at from {name} order by quoted_at");
    sqlx::query_scalar(sqlx::AssertSqlSafe(select))
        .fetch_all(pool)
        .await
        .unwrap()
}

/// Asserts that the partitions leave no gap: each begins where the one before ends, and the last
/// has no end.
pub(crate) fn assert_contiguous(bounds: &[String]) {
    let ends: Vec<(&str, &str)> = bounds
        .iter()
        .map(|bound| bound.split_once(" TO ").unwrap())
        .collect();

    for pair in ends.windows(2) {
        assert_eq!(pair[0].1, pair[1].0, "{bounds:?}");
    }

    assert_eq!(ends.last().unwrap().1, "(MAXVALUE)");
}
