//! Units: an average never mixes two, in any order of arrival.

use std::time::Duration;

use averager::handler::handle;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta};
use shared::price_event::PriceEvent;
use shared::repository::ingest::{Ingest, Stored};
use sqlx::PgPool;
use tokio::time::Instant;
use uuid::Uuid;

use crate::reference::{expected, stored};

/// A quote at this second, polled a second later.
pub(crate) fn quote(symbol: &str, price: &str, unit: Option<&str>, second: i64) -> PriceEvent {
    let timestamp = DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap();
    PriceEvent {
        id: Uuid::from_u128(second.unsigned_abs().into()),
        symbol: symbol.parse().unwrap(),
        price: price.parse().unwrap(),
        currency: unit.map(|unit| unit.parse().unwrap()),
        timestamp,
        provider: "yahoo".parse().unwrap(),
        polled_at: timestamp + TimeDelta::seconds(1),
        raw_response_id: None,
    }
}

/// The averages of a symbol in the order of time, each with its count.
pub(crate) async fn averages(pool: &PgPool, symbol: &str) -> Vec<(String, i16)> {
    sqlx::query_as(
        "select moving_average::text, points from price_points join series using (series_id)
         where symbol = $1 order by quoted_at",
    )
    .bind(symbol)
    .fetch_all(pool)
    .await
    .unwrap()
}

pub(crate) fn owned<const N: usize>(averages: [(&str, i16); N]) -> Vec<(String, i16)> {
    averages
        .map(|(average, points)| (average.to_owned(), points))
        .to_vec()
}

#[tokio::test]
async fn a_window_begins_anew_where_the_unit_changes_in_every_order_of_arrival() {
    let quotes = [
        ("2005", "GBp"),
        ("2006", "GBp"),
        ("20.07", "GBP"),
        ("20.08", "GBP"),
    ];

    let events: Vec<PriceEvent> = (0..)
        .zip(quotes)
        .map(|(second, (price, unit))| quote("FLIP.L", price, Some(unit), second))
        .collect();

    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        let pool = e2e::postgres::database().await.unwrap();
        let ingest = Ingest::new(pool.clone());

        for index in order {
            ingest.store(&events[index..=index], &[]).await.unwrap();
        }

        let expected = owned([("2005", 1), ("2005.5", 2), ("20.07", 1), ("20.075", 2)]);
        assert_eq!(averages(&pool, "FLIP.L").await, expected, "{order:?}");
    }
}

#[tokio::test]
async fn a_price_without_a_unit_is_averaged_with_no_other() {
    let pool = e2e::postgres::database().await.unwrap();
    let units = [Some("USD"), None, None, Some("USD"), Some("USD")];

    let events: Vec<PriceEvent> = (0..)
        .zip(units)
        .map(|(second, unit)| quote("A", &(second + 1).to_string(), unit, second))
        .collect();

    Ingest::new(pool.clone()).store(&events, &[]).await.unwrap();
    assert_eq!(
        averages(&pool, "A").await,
        owned([("1", 1), ("2", 1), ("2.5", 2), ("4", 1), ("4.5", 2)])
    );
}

#[tokio::test]
async fn a_revision_of_the_unit_alone_parts_and_joins_the_averages_around_it() {
    let pool = e2e::postgres::database().await.unwrap();
    let ingest = Ingest::new(pool.clone());
    let mut events: Vec<PriceEvent> = (0..7)
        .map(|second| quote("A", &(second + 1).to_string(), Some("USD"), second))
        .collect();
    ingest.store(&events, &[]).await.unwrap();

    for (polled, unit) in [(20, Some("EUR")), (21, None), (22, Some("USD"))] {
        let again = PriceEvent {
            polled_at: events[2].timestamp + TimeDelta::seconds(polled),
            ..quote("A", "3", unit, 2)
        };

        let outcome = ingest
            .store(std::slice::from_ref(&again), &[])
            .await
            .unwrap();
        assert_eq!(
            outcome,
            Stored {
                revised: 1,
                ..Stored::default()
            }
        );

        events.push(again);
        assert_eq!(stored(&pool).await, expected(&events), "{unit:?}");

        let fourth = averages(&pool, "A").await[3].clone();
        assert_eq!(
            fourth,
            if unit == Some("USD") {
                ("2.5".to_owned(), 4)
            } else {
                ("4".to_owned(), 1)
            }
        );
    }
}

#[tokio::test]
async fn of_answers_that_differ_in_the_unit_alone_the_same_one_stands_in_either_order() {
    for order in [["GBP", "GBp"], ["GBp", "GBP"]] {
        let pool = e2e::postgres::database().await.unwrap();
        let ingest = Ingest::new(pool.clone());

        for unit in order {
            ingest
                .store(&[quote("A", "3", Some(unit), 0)], &[])
                .await
                .unwrap();
        }

        let currency: String = sqlx::query_scalar("select last_currency from series")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(currency, "GBp", "the greater one by its bytes");
    }
}

#[tokio::test]
async fn four_writers_that_meet_the_same_new_units_give_each_one_number() {
    let pool = e2e::postgres::database().await.unwrap();
    let mut writers = tokio::task::JoinSet::new();

    for writer in 0..4 {
        let ingest = Ingest::new(pool.clone());
        writers.spawn(async move {
            for unit in 0..40 {
                let (symbol, name) = (format!("S{writer}"), format!("U{unit}"));
                ingest
                    .store(&[quote(&symbol, "1", Some(&name), unit)], &[])
                    .await
                    .unwrap();
            }
        });
    }

    writers.join_all().await;

    let (units, highest): (i64, i16) = sqlx::query_as("select count(*), max(unit_id) from units")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!((units, highest), (40, 40));

    let points: i64 =
        sqlx::query_scalar("select count(*) from price_points join units using (unit_id)")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(points, 160);
}

#[tokio::test]
async fn an_event_that_would_need_one_unit_too_many_is_put_into_quarantine_and_its_neighbours_are_stored()
 {
    let pool = e2e::postgres::database().await.unwrap();
    sqlx::query(
        "insert into units select number, 'U' || number from generate_series(1, 32767) as number",
    )
    .execute(&pool)
    .await
    .unwrap();

    let record = |offset: u8, unit: &str| {
        let value = format!(
            r#"{{"symbol":"A","price":{offset},"timestamp":"2024-03-20T10:30:{offset:02}Z","source":"yahoo","currency":"{unit}"}}"#
        );
        let value = STANDARD.encode(value);
        format!(
            r#"{{"topic":"price-events","partition":3,"offset":{offset},"timestamp":1710930605000,"value":"{value}"}}"#
        )
    };

    let records = [record(1, "U5"), record(2, "ONE-MORE"), record(3, "U5")].join(",");
    let event =
        format!(r#"{{"eventSource":"aws:kafka","records":{{"price-events-3":[{records}]}}}}"#);
    let give_up_at = Instant::now() + Duration::from_secs(20);

    let summary = handle(&Ingest::new(pool.clone()), &event, give_up_at)
        .await
        .unwrap();

    assert_eq!((summary.added, summary.rejected), (2, 1));
    assert_eq!(averages(&pool, "A").await, owned([("1", 1), ("2", 2)]));

    let reason: String = sqlx::query_scalar("select reason from rejected_events")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(
        reason,
        "Postgres refuses the event's values (SQLSTATE 22003)"
    );
}
