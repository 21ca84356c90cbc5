//! Batches of records, and what the averager makes of them.

use std::time::Duration;

use averager::handler::handle;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use shared::repository::ingest::{Ingest, Stored};
use sqlx::PgPool;
use tokio::time::Instant;

/// A batch as Lambda delivers it: one record per value, with offsets from `first` on.
pub(crate) fn batch(first: i64, values: &[&str]) -> String {
    let records: Vec<String> = values
        .iter()
        .zip(first..)
        .map(|(value, offset)| {
            let value = STANDARD.encode(value);
            format!(
                r#"{{"topic":"price-events","partition":3,"offset":{offset},"timestamp":1710930605000,
                    "timestampType":"CREATE_TIME","key":"QUFQTA==","value":"{value}","headers":[]}}"#
            )
        })
        .collect();

    format!(
        r#"{{"eventSource":"aws:kafka","records":{{"price-events-3":[{}]}}}}"#,
        records.join(",")
    )
}

pub(crate) fn quote(price: &str, second: u8, polled: u8) -> String {
    format!(
        r#"{{"symbol":"AAPL","price":{price},"timestamp":"2024-03-20T10:30:{second:02}Z","source":"yahoo",
            "currency":"USD","polled_at":"2024-03-20T10:30:{polled:02}Z"}}"#
    )
}

pub(crate) async fn run(pool: &PgPool, event: &str) -> Stored {
    handle(
        &Ingest::new(pool.clone()),
        event,
        Instant::now() + Duration::from_secs(20),
    )
    .await
    .unwrap()
}

pub(crate) async fn prices_and_averages(pool: &PgPool) -> Vec<(String, String, i16)> {
    sqlx::query_as(
        "select price::text, moving_average::text, points from price_points order by quoted_at",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}
