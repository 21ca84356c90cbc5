//! Rows older than their retention are removed in whole partitions; quotes that arrive for them
//! afterwards are expired.

use chrono::TimeDelta;
use e2e::reference::miscounted;
use shared::config::Retention;
use shared::market::Timestamp;
use shared::price_event::PriceEvent;
use shared::repository::ingest::{Ingest, Stored};
use shared::repository::partitions::{PRICE_POINTS, drop_before, make_ahead};
use shared::repository::polling_jobs::{self, NewJob};
use shared::repository::raw_responses::{self, RawResponse};
use sqlx::PgPool;
use upkeep::growth::Trimmed;
use uuid::Uuid;

use crate::world::{assert_contiguous, at, bounds, quote, store, trim};

const KEPT: Retention = Retention {
    points_days: Some(90),
    raw_responses_days: 7,
    runs_days: 30,
    rejected_days: 90,
};

/// One quote at noon of the 15th of each month from January to August 2024. Upkeep ran in January
/// and in August.
async fn eight_months(pool: &PgPool) -> Vec<PriceEvent> {
    make_ahead(pool, PRICE_POINTS, at("2024-01-01T00:00:00Z"))
        .await
        .unwrap();
    make_ahead(pool, PRICE_POINTS, at("2024-08-20T00:00:00Z"))
        .await
        .unwrap();

    let noon = |month: u32| at(&format!("2024-{month:02}-15T12:00:00Z"));
    let events: Vec<PriceEvent> = (1..=8).map(|month| quote(noon(month), month)).collect();

    store(pool, &events).await;
    events
}

async fn averages(pool: &PgPool) -> Vec<(Timestamp, String, i16)> {
    sqlx::query_as(
        "select quoted_at, moving_average::text, points from price_points order by quoted_at",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn points_go_by_whole_months_and_averages_at_the_edge_stay_as_they_were() {
    let pool = e2e::postgres::database().await.unwrap();
    eight_months(&pool).await;
    let before = averages(&pool).await;

    // 90 days earlier is in May, which is kept whole.
    let trimmed = trim(&pool, &KEPT, at("2024-08-20T00:00:00Z")).await;

    assert_eq!(
        trimmed.partitions_dropped, 5,
        "before January, and January to April"
    );
    assert_eq!(averages(&pool).await, before[4..]);

    let bounds = bounds(&pool, "price_points").await;
    assert_contiguous(&bounds);
    assert_eq!(bounds[0], "(2024-05-01) TO (2024-06-01)");
}

#[tokio::test]
async fn quotes_of_dropped_months_are_expired_while_their_neighbours_are_stored() {
    let pool = e2e::postgres::database().await.unwrap();
    let events = eight_months(&pool).await;
    drop_before(&pool, PRICE_POINTS, at("2024-05-20T00:00:00Z"))
        .await
        .unwrap();

    let again = store(&pool, &events).await;
    assert_eq!(
        again,
        Stored {
            expired: 4,
            superseded: 4,
            ..Stored::default()
        }
    );

    let edge = [
        quote(at("2024-04-30T23:59:59.999999Z"), 100),
        quote(at("2024-05-01T00:00:00Z"), 200),
    ];
    assert_eq!(
        store(&pool, &edge).await,
        Stored {
            expired: 1,
            added: 1,
            ..Stored::default()
        }
    );

    // The remaining averages imply the points of January to April.
    let repaired: Vec<(String, i16)> = averages(&pool)
        .await
        .into_iter()
        .map(|(_, average, points)| (average, points))
        .collect();
    let expected = ["42", "42.8", "43.6", "44.4", "45.2"];
    assert_eq!(repaired, expected.map(|average| (average.to_owned(), 5)));
}

#[tokio::test]
async fn a_revision_at_the_edge_shifts_averages_and_leaves_the_tail() {
    let pool = e2e::postgres::database().await.unwrap();
    make_ahead(&pool, PRICE_POINTS, at("2024-01-01T00:00:00Z"))
        .await
        .unwrap();
    make_ahead(&pool, PRICE_POINTS, at("2024-06-20T00:00:00Z"))
        .await
        .unwrap();

    let noon = |month: u32| at(&format!("2024-{month:02}-15T12:00:00Z"));
    let events: Vec<PriceEvent> = (1..=6)
        .map(|month| quote(noon(month), month * 10))
        .collect();
    store(&pool, &events).await;

    drop_before(&pool, PRICE_POINTS, at("2024-05-20T00:00:00Z"))
        .await
        .unwrap();

    let means = async || -> Vec<(String, i16)> {
        averages(&pool)
            .await
            .into_iter()
            .map(|(_, average, points)| (average, points))
            .collect()
    };

    let of_five = |averages: [&str; 2]| averages.map(|average| (average.to_owned(), 5));
    assert_eq!(means().await, of_five(["30", "40"]));

    let revised = PriceEvent {
        polled_at: noon(7),
        ..quote(noon(5), 55)
    };
    assert_eq!(
        store(&pool, &[revised]).await,
        Stored {
            revised: 1,
            ..Stored::default()
        }
    );
    assert_eq!(means().await, of_five(["31", "41"]));

    store(&pool, &[quote(noon(7), 70)]).await;
    let newest = means().await.pop();
    assert_eq!(
        newest,
        Some(("51".to_owned(), 5)),
        "the mean of 30, 40, 55, 60 and 70"
    );
}

#[tokio::test]
async fn the_next_point_of_a_series_whose_points_are_all_gone_averages_what_was() {
    let pool = e2e::postgres::database().await.unwrap();
    let writer = Ingest::new(pool.clone());
    let events = eight_months(&pool).await;
    writer.store(&events, &[]).await.unwrap();

    make_ahead(&pool, PRICE_POINTS, at("2025-08-20T00:00:00Z"))
        .await
        .unwrap();
    drop_before(&pool, PRICE_POINTS, at("2025-01-01T00:00:00Z"))
        .await
        .unwrap();

    let next = [quote(at("2025-08-20T00:00:00Z"), 9)];
    assert_eq!(
        writer.store(&next, &[]).await.unwrap(),
        Stored {
            added: 1,
            ..Stored::default()
        }
    );

    let stored = averages(&pool).await;
    assert_eq!(
        stored,
        [(at("2025-08-20T00:00:00Z"), "7".to_owned(), 5)],
        "the mean of 5, 6, 7, 8 and 9"
    );
}

#[tokio::test]
async fn a_batch_that_meets_a_drop_succeeds_at_its_next_attempt() {
    let pool = e2e::postgres::database().await.unwrap();

    eight_months(&pool).await;

    drop_before(&pool, PRICE_POINTS, at("2024-05-20T00:00:00Z"))
        .await
        .unwrap();

    // The state that a writer saw just before the drop was committed.
    sqlx::query("update retention set points_from = null")
        .execute(&pool)
        .await
        .unwrap();

    let late = [quote(at("2024-02-01T00:00:00Z"), 50)];
    let error = Ingest::new(pool.clone())
        .store(&late, &[])
        .await
        .unwrap_err();
    assert!(error.is_transient(), "{error:?}");

    sqlx::query("update retention set points_from = '2024-05-01Z'")
        .execute(&pool)
        .await
        .unwrap();

    assert_eq!(
        store(&pool, &late).await,
        Stored {
            expired: 1,
            ..Stored::default()
        }
    );
}

#[tokio::test]
async fn after_a_drop_the_points_that_are_left_are_counted_again() {
    let pool = e2e::postgres::database().await.unwrap();
    eight_months(&pool).await;
    assert_eq!(miscounted(&pool).await, Vec::<String>::new());

    // Nothing is counted within an hour of the migration that adds the counts.
    sqlx::query("update _sqlx_migrations set installed_on = installed_on - interval '2 hours'")
        .execute(&pool)
        .await
        .unwrap();
    let trimmed = trim(&pool, &KEPT, at("2024-08-20T00:00:00Z")).await;

    assert!(trimmed.partitions_dropped > 0);
    assert_eq!(trimmed.series_counted, 1);
    assert_eq!(miscounted(&pool).await, Vec::<String>::new());
}

#[tokio::test]
async fn points_stay_for_ever_unless_told_otherwise() {
    let pool = e2e::postgres::database().await.unwrap();
    let events = eight_months(&pool).await;

    let kept = Retention {
        points_days: None,
        ..KEPT
    };

    trim(&pool, &kept, at("2034-08-20T00:00:00Z")).await;
    assert_eq!(averages(&pool).await.len(), events.len());
    assert_eq!(
        bounds(&pool, "price_points").await[0],
        "(MINVALUE) TO (2024-01-01)"
    );
}

#[tokio::test]
async fn raw_responses_go_by_whole_days() {
    let pool = e2e::postgres::database().await.unwrap();
    let first = at("2024-03-01T12:00:00Z");
    let mut kept = Vec::new();

    for day in 0..12 {
        let received_at = first + TimeDelta::days(day);
        trim(&pool, &KEPT, received_at).await;

        let response = RawResponse {
            raw_response_id: Uuid::now_v7(),
            provider: &"yahoo".parse().unwrap(),
            symbols: &["AAPL".parse().unwrap()],
            received_at,
            body: "{}",
        };

        raw_responses::insert(&pool, &response).await.unwrap();
        kept.push(received_at);
    }

    trim(&pool, &KEPT, first + TimeDelta::days(11)).await;
    let left: Vec<Timestamp> =
        sqlx::query_scalar("select received_at from raw_responses order by received_at")
            .fetch_all(&pool)
            .await
            .unwrap();

    // On the 12th at noon the limit is the 5th at noon, and the 5th is kept whole.
    assert_eq!(left, kept[4..]);
}

#[tokio::test]
async fn old_runs_go_but_the_newest_of_each_job() {
    let pool = e2e::postgres::database().await.unwrap();
    let now = at("2024-03-31T00:00:00Z");

    for (ages, interval) in [([50, 40, 10], 60), ([70, 60, 50], 120)] {
        let job_id = Uuid::now_v7();
        let job = NewJob {
            job_id,
            symbols: vec!["AAPL".parse().unwrap()],
            provider: "yahoo".parse().unwrap(),
            interval_seconds: interval,
            market_hours: false,
            created_at: now - TimeDelta::days(100),
        };

        polling_jobs::insert(&pool, &job, u32::MAX).await.unwrap();
        for age in ages {
            sqlx::query(
                "insert into polling_runs (job_id, tick_time, status) values ($1, $2, 'succeeded')",
            )
            .bind(job_id)
            .bind(now - TimeDelta::days(age))
            .execute(&pool)
            .await
            .unwrap();
        }
    }

    assert_eq!(trim(&pool, &KEPT, now).await.runs_deleted, 4);

    let left: Vec<Timestamp> =
        sqlx::query_scalar("select tick_time from polling_runs order by tick_time")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(left, [now - TimeDelta::days(50), now - TimeDelta::days(10)]);

    assert_eq!(
        trim(&pool, &KEPT, now).await,
        Trimmed::default(),
        "a second run finds nothing to do"
    );
}
