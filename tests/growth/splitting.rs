//! The last partition is split ahead of need, with or without rows in it, while writers continue.

use std::time::Duration;

use chrono::{Months, TimeDelta};
use e2e::reference;
use shared::repository::ingest::Ingest;
use shared::repository::partitions::{PRICE_POINTS, RAW_RESPONSES, make_ahead};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::world::{assert_contiguous, at, bounds, points_from, quote, store};

#[tokio::test]
async fn a_new_database_gets_a_partition_for_the_present_period_and_some_after_it() {
    let pool = e2e::postgres::database().await.unwrap();
    let now = at("2024-03-20T10:30:00Z");

    assert_eq!(make_ahead(&pool, PRICE_POINTS, now).await.unwrap(), 5);
    assert_eq!(
        bounds(&pool, "price_points").await,
        [
            "(MINVALUE) TO (2024-03-01)",
            "(2024-03-01) TO (2024-04-01)",
            "(2024-04-01) TO (2024-05-01)",
            "(2024-05-01) TO (2024-06-01)",
            "(2024-06-01) TO (2024-07-01)",
            "(2024-07-01) TO (MAXVALUE)",
        ]
    );

    make_ahead(&pool, RAW_RESPONSES, now).await.unwrap();
    let days = bounds(&pool, "raw_responses").await;
    assert_eq!(days.len(), 10);
    assert_eq!(
        (days[0].as_str(), days[9].as_str()),
        ("(MINVALUE) TO (2024-03-20)", "(2024-03-28) TO (MAXVALUE)")
    );
}

#[tokio::test]
async fn a_second_run_changes_nothing_and_a_later_one_adds_what_has_come_nearer() {
    let pool = e2e::postgres::database().await.unwrap();
    let now = at("2024-03-20T10:30:00Z");

    make_ahead(&pool, PRICE_POINTS, now).await.unwrap();
    assert_eq!(make_ahead(&pool, PRICE_POINTS, now).await.unwrap(), 0);
    assert_eq!(
        make_ahead(&pool, PRICE_POINTS, at("2024-04-01T00:00:00Z"))
            .await
            .unwrap(),
        1
    );

    let bounds = bounds(&pool, "price_points").await;
    assert_contiguous(&bounds);
    assert_eq!(bounds.last().unwrap(), "(2024-08-01) TO (MAXVALUE)");
}

#[tokio::test]
async fn rows_that_the_last_partition_holds_stay_where_they_are_and_far_ones_move_on() {
    let pool = e2e::postgres::database().await.unwrap();
    make_ahead(&pool, PRICE_POINTS, at("2024-03-20T10:30:00Z"))
        .await
        .unwrap();

    // Upkeep did not run for a year, and the clock of one producer is far ahead.
    let held = [at("2024-08-05T00:00:00Z"), at("2025-01-31T23:59:59Z")];
    let ahead = at("2031-01-01T00:00:00Z");
    let events = [quote(held[0], 1), quote(held[1], 2), quote(ahead, 3)];
    store(&pool, &events).await;

    make_ahead(&pool, PRICE_POINTS, at("2025-03-20T00:00:00Z"))
        .await
        .unwrap();

    let bounds = bounds(&pool, "price_points").await;
    assert_contiguous(&bounds);
    assert!(
        bounds.contains(&"(2024-07-01) TO (2025-02-01)".to_owned()),
        "{bounds:?}"
    );
    assert!(
        bounds.contains(&"(2025-02-01) TO (2025-03-01)".to_owned()),
        "{bounds:?}"
    );
    assert_eq!(points_from(&pool, "2024-07-01").await, held);
    assert_eq!(points_from(&pool, "2025-07-01").await, [ahead]);
    assert_eq!(reference::stored(&pool).await, reference::expected(&events));

    make_ahead(&pool, PRICE_POINTS, at("2025-04-20T00:00:00Z"))
        .await
        .unwrap();
    assert_eq!(
        points_from(&pool, "2025-08-01").await,
        [ahead],
        "it moves on with the last partition"
    );
}

#[tokio::test]
async fn two_upkeeps_at_once_do_it_once() {
    let pool = e2e::postgres::database().await.unwrap();
    let now = at("2024-03-20T10:30:00Z");

    let (one, other) = tokio::join!(
        make_ahead(&pool, PRICE_POINTS, now),
        make_ahead(&pool, PRICE_POINTS, now)
    );

    assert_eq!(one.unwrap() + other.unwrap(), 5);
    assert_contiguous(&bounds(&pool, "price_points").await);
}

#[tokio::test]
async fn writers_go_on_while_partitions_are_made() {
    let pool = e2e::postgres::database().await.unwrap();
    let start = at("2024-03-20T10:30:00Z");

    let stop = CancellationToken::new();
    let writer = tokio::spawn({
        let (ingest, stop) = (Ingest::new(pool.clone()), stop.clone());
        async move {
            let mut events = Vec::new();

            // Each batch holds a point a day later than the batch before, and a late one from 30
            // hours earlier.
            for number in 0.. {
                let day = start + TimeDelta::days(number);
                let price = u32::try_from(2 * number + 1).unwrap();
                let batch = [
                    quote(day, price),
                    quote(day - TimeDelta::hours(30), price + 1),
                ];

                ingest
                    .store(&batch, &[])
                    .await
                    .expect("a batch while partitions are made");

                events.extend(batch);
                if stop.is_cancelled() {
                    return events;
                }
            }
            events
        }
    });

    let deadline = Instant::now() + Duration::from_secs(60);
    let mut made = 0;

    for month in 0..24 {
        let now = start.checked_add_months(Months::new(month)).unwrap();
        loop {
            match make_ahead(&pool, PRICE_POINTS, now).await {
                Ok(partitions) => break made += partitions,
                Err(error) => assert!(error.is_busy() && Instant::now() < deadline, "{error:?}"),
            }
        }
    }

    stop.cancel();
    let events = writer.await.unwrap();

    assert!(made >= 24);
    assert_contiguous(&bounds(&pool, "price_points").await);
    assert_eq!(reference::stored(&pool).await, reference::expected(&events));
}
