//! A clock that jumps ahead by years removes nothing that was not already old, and creates no
//! partition for each day in between.

use chrono::TimeDelta;
use shared::config::Retention;
use shared::repository::partitions::{RAW_RESPONSES, make_ahead};
use shared::repository::raw_responses::{self, RawResponse};
use uuid::Uuid;

use crate::world::{assert_contiguous, at, bounds, quote, store, trim};

const KEPT: Retention = Retention {
    points_days: Some(90),
    raw_responses_days: 7,
    runs_days: 30,
    rejected_days: 90,
};

#[tokio::test]
async fn points_and_raw_responses_stay_when_every_clock_jumps_ahead_by_ten_years() {
    let pool = e2e::postgres::database().await.unwrap();
    let now = at("2026-11-28T12:00:00Z");

    trim(&pool, &KEPT, now).await;
    store(&pool, &[quote(now - TimeDelta::days(30), 1), quote(now, 2)]).await;

    let response = RawResponse {
        raw_response_id: Uuid::now_v7(),
        provider: &"yahoo".parse().unwrap(),
        symbols: &["AAPL".parse().unwrap()],
        received_at: now,
        body: "{}",
    };
    raw_responses::insert(&pool, &response).await.unwrap();

    trim(&pool, &KEPT, at("2036-02-07T06:28:16Z")).await;
    let (points, responses): (i64, i64) = sqlx::query_as(
        "select (select count(*) from price_points), (select count(*) from raw_responses)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!((points, responses), (2, 1));

    // Once the clocks are right again, everything works as before.
    store(&pool, &[quote(now + TimeDelta::hours(1), 3)]).await;
    raw_responses::insert(
        &pool,
        &RawResponse {
            raw_response_id: Uuid::now_v7(),
            ..response
        },
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn an_empty_database_keeps_its_partitions_when_every_clock_jumps_ahead_by_ten_years() {
    let pool = e2e::postgres::database().await.unwrap();
    let now = at("2026-11-28T12:00:00Z");

    trim(&pool, &KEPT, now).await;
    assert_eq!(
        trim(&pool, &KEPT, at("2036-02-07T06:28:16Z"))
            .await
            .partitions_dropped,
        0
    );

    let stored = store(&pool, &[quote(now, 1)]).await;
    assert_eq!((stored.added, stored.expired), (1, 0));
}

#[tokio::test]
async fn after_years_without_upkeep_the_days_between_share_a_partition() {
    let pool = e2e::postgres::database().await.unwrap();

    make_ahead(&pool, RAW_RESPONSES, at("2026-11-28T12:00:00Z"))
        .await
        .unwrap();

    assert_eq!(
        make_ahead(&pool, RAW_RESPONSES, at("2036-02-07T06:28:16Z"))
            .await
            .unwrap(),
        9
    );

    let bounds = bounds(&pool, "raw_responses").await;
    assert_contiguous(&bounds);
    assert!(
        bounds.contains(&"(2026-12-06) TO (2036-02-07)".to_owned()),
        "{bounds:?}"
    );
}
