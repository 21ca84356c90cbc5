//! Rejected events are removed by their age, and series once they have no points left.

use chrono::TimeDelta;
use shared::config::Retention;
use shared::price_event::PriceEvent;
use shared::repository::ingest::{Ingest, Stored, remove_expired_series};
use shared::repository::partitions::{PRICE_POINTS, drop_before, make_ahead};
use shared::repository::rejected_events::{self, RejectedEvent};

use crate::world::{at, quote, trim};

#[tokio::test]
async fn rejected_events_go_by_the_time_of_their_rejection() {
    let pool = e2e::postgres::database().await.unwrap();
    let now = at("2024-08-20T00:00:00Z");

    for (offset, age) in [(0, 91), (1, 90), (2, 89), (3, 0)] {
        let event = RejectedEvent {
            topic: "price-events".to_owned(),
            partition: 0,
            offset,
            timestamp: now,
            key: None,
            value: None,
            reason: "no JSON".to_owned(),
        };

        rejected_events::insert(&mut pool.acquire().await.unwrap(), &[event])
            .await
            .unwrap();

        sqlx::query("update rejected_events set rejected_at = $1 where record_offset = $2")
            .bind(now - TimeDelta::days(age) - TimeDelta::seconds(1))
            .bind(offset)
            .execute(&pool)
            .await
            .unwrap();
    }

    let kept = Retention {
        points_days: None,
        raw_responses_days: 7,
        runs_days: 30,
        rejected_days: 90,
    };
    assert_eq!(trim(&pool, &kept, now).await.rejected_deleted, 2);

    let left: Vec<i64> = sqlx::query_scalar("select record_offset from rejected_events order by 1")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(left, [2, 3]);
}

#[tokio::test]
async fn a_series_without_points_goes_and_a_writer_that_remembers_it_begins_it_anew() {
    let pool = e2e::postgres::database().await.unwrap();
    make_ahead(&pool, PRICE_POINTS, at("2024-01-01T00:00:00Z"))
        .await
        .unwrap();
    let (writer, january) = (Ingest::new(pool.clone()), at("2024-01-15T12:00:00Z"));

    let other = |time: &str, price| PriceEvent {
        symbol: "MSFT".parse().unwrap(),
        ..quote(at(time), price)
    };
    let march = other("2024-03-10T12:00:00Z", 7);

    writer
        .store(
            &[
                quote(january, 1),
                quote(january + TimeDelta::hours(1), 3),
                march,
            ],
            &[],
        )
        .await
        .unwrap();

    assert_eq!(
        remove_expired_series(&pool).await.unwrap(),
        0,
        "nothing was dropped yet"
    );

    drop_before(&pool, PRICE_POINTS, at("2024-02-01T00:00:00Z"))
        .await
        .unwrap();
    assert_eq!(remove_expired_series(&pool).await.unwrap(), 1);

    let left: Vec<String> = sqlx::query_scalar("select symbol from series")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(left, ["MSFT"]);

    // This writer remembers the tail 1, 3 of a series that was removed, and the tail of one that
    // still exists.
    let next = [
        quote(at("2024-03-20T12:00:00Z"), 11),
        other("2024-03-21T12:00:00Z", 8),
    ];
    assert_eq!(
        writer.store(&next, &[]).await.unwrap(),
        Stored {
            added: 2,
            ..Stored::default()
        }
    );

    let averages: Vec<(String, i16)> =
        sqlx::query_as("select last_average::text, last_points from series where symbol = 'AAPL'")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(
        averages,
        [("11".to_owned(), 1)],
        "it begins again, with its true count of points"
    );
    assert_eq!(remove_expired_series(&pool).await.unwrap(), 0);
}

#[tokio::test]
async fn series_that_cannot_be_removed_keep_no_other_from_being_removed() {
    let pool = e2e::postgres::database().await.unwrap();
    make_ahead(&pool, PRICE_POINTS, at("2024-01-01T00:00:00Z"))
        .await
        .unwrap();
    let (writer, january) = (Ingest::new(pool.clone()), at("2024-01-15T12:00:00Z"));
    writer.store(&[quote(january, 1)], &[]).await.unwrap();

    // More than one batch of series whose symbols no writer could use, placed before a removable
    // one.
    sqlx::query(
        "insert into series select (jsonb_populate_record(series, jsonb_build_object(
             'series_id', -number, 'symbol', 'no symbol ' || number))).*
         from series, generate_series(1, 600) as number",
    )
    .execute(&pool)
    .await
    .unwrap();

    let other = PriceEvent {
        symbol: "MSFT".parse().unwrap(),
        ..quote(january, 2)
    };
    writer.store(&[other], &[]).await.unwrap();
    drop_before(&pool, PRICE_POINTS, at("2024-02-01T00:00:00Z"))
        .await
        .unwrap();

    assert_eq!(remove_expired_series(&pool).await.unwrap(), 2);
}
