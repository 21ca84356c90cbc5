//! Random duplicates, reordering, late points, conflicting prices and concurrent writers, compared
//! with the reference.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use shared::price_event::PriceEvent;
use shared::repository::ingest::Ingest;
use sqlx::PgPool;
use uuid::Uuid;

use crate::reference::{Key, Point, expected, miscounted, newest, newest_of, stored};

/// Answers for a few series and quote times, so that they often collide, with prices of every
/// precision.
fn events(series: u8, count: usize) -> impl Strategy<Value = Vec<PriceEvent>> {
    let price = prop_oneof![
        (1_u64..200_000).prop_map(|cents| format!("{}.{:02}", cents / 100, cents % 100 + 1)),
        (1_u128..99_999_999_999_999_999_999).prop_map(|digits| format!("0.{digits:020}")),
        (1_u64..99_999_999_999).prop_map(|whole| format!("{whole}.000000000000001")),
        Just("99999999999.999999999999999".to_owned()),
        Just("999999.99999999999999999999".to_owned()),
    ];

    // Few ids, so that some answers tie in everything except the price.
    let id = prop_oneof![9 => any::<u128>(), 1 => 0_u128..3];

    // Mostly one unit, so that windows fill, with breaks in between.
    let unit = prop_oneof![12 => Just(Some("USD")), 1 => Just(Some("GBp")), 1 => Just(Some("GBP")), 1 => Just(None)];

    let event = (0..series, 0_i64..60, 0_i64..400, price, id, unit);

    prop::collection::vec(event, 1..count).prop_map(|answers| {
        let event = |(series, quote, polled, price, id, unit): (
            u8,
            i64,
            i64,
            String,
            u128,
            Option<&str>,
        )| {
            PriceEvent {
                id: Uuid::from_u128(id),
                symbol: format!("S{series}").parse().unwrap(),
                price: price.parse().unwrap(),
                currency: unit.map(|unit| unit.parse().unwrap()),
                timestamp: DateTime::UNIX_EPOCH + TimeDelta::microseconds(quote * 500_000),
                provider: if series % 3 == 0 { "replay" } else { "yahoo" }
                    .parse()
                    .unwrap(),
                polled_at: DateTime::UNIX_EPOCH + TimeDelta::milliseconds(30_000 + polled),
                raw_response_id: None,
            }
        };

        answers.into_iter().map(event).collect()
    })
}

/// How a stream is divided into batches, and which batches arrive twice.
fn delivery() -> impl Strategy<Value = Vec<(usize, bool)>> {
    prop::collection::vec((1_usize..60, prop::bool::weighted(0.2)), 1..12)
}

fn batches(events: &[PriceEvent], delivery: &[(usize, bool)]) -> Vec<Vec<PriceEvent>> {
    let (mut batches, mut rest) = (Vec::new(), events);
    for (size, twice) in delivery.iter().cycle() {
        if rest.is_empty() {
            break;
        }

        let (batch, after) = rest.split_at((*size).min(rest.len()));
        batches.extend(std::iter::repeat_n(
            batch.to_vec(),
            if *twice { 2 } else { 1 },
        ));

        rest = after;
    }

    batches
}

/// Runs `case` on random input, each time in an emptied database. Prints the seed that repeats a
/// failure.
#[expect(
    clippy::print_stdout,
    reason = "the seed of a run is part of what a test tells"
)]
fn check<T: std::fmt::Debug>(
    cases: u32,
    strategy: impl Strategy<Value = T>,
    case: &impl AsyncFn(&PgPool, T) -> Result<(), TestCaseError>,
) {
    let seed = rand_seed();
    println!("seed {seed}; repeat with PROPTEST_RNG_SEED={seed}");

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pool = runtime.block_on(e2e::postgres::database()).unwrap();

    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 64,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    };

    TestRunner::new(config)
        .run(&strategy, |input| {
            runtime.block_on(async {
                sqlx::query("truncate series, price_points, units")
                    .execute(&pool)
                    .await
                    .unwrap();
                sqlx::query("update retention set points_from = null")
                    .execute(&pool)
                    .await
                    .unwrap();

                case(&pool, input).await
            })
        })
        .unwrap();
}

#[expect(
    clippy::disallowed_methods,
    reason = "proptest's own variable, so that a failed seed can be repeated"
)]
pub(crate) fn rand_seed() -> u64 {
    let asked = std::env::var("PROPTEST_RNG_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    asked.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0)
}

async fn verify(pool: &PgPool, events: &[PriceEvent]) -> Result<(), TestCaseError> {
    let expected = expected(events);
    prop_assert_eq!(stored(pool).await, expected.clone());
    prop_assert_eq!(newest(pool).await, newest_of(&expected));
    prop_assert_eq!(miscounted(pool).await, Vec::<String>::new());
    Ok(())
}

#[test]
fn whatever_the_order_and_repetition_every_quote_is_one_point_and_every_average_is_exact() {
    check(60, (events(4, 300), delivery()), &async |pool,
                                                    (
        events,
        delivery,
    )| {
        let ingest = Ingest::new(pool.clone());

        for batch in batches(&events, &delivery) {
            ingest.store(&batch, &[]).await.unwrap();
        }

        verify(pool, &events).await
    });
}

#[test]
fn four_concurrent_writers_on_the_same_series_leave_the_same_points_as_one() {
    check(25, (events(6, 400), delivery()), &async |pool,
                                                    (
        events,
        delivery,
    )| {
        let mut writers = tokio::task::JoinSet::new();
        let batches = batches(&events, &delivery);

        for writer in 0..4 {
            let mine: Vec<_> = batches.iter().skip(writer).step_by(4).cloned().collect();
            let ingest = Ingest::new(pool.clone());
            writers.spawn(async move {
                for batch in mine {
                    ingest.store(&batch, &[]).await.unwrap();
                }
            });
        }

        writers.join_all().await;
        verify(pool, &events).await
    });
}

/// Stores `first`, drops what is older than the quote at `cut`, and stores `second`. Returns what
/// is stored, and what would be stored from then on if nothing had been dropped.
async fn with_a_drop_between(
    pool: &PgPool,
    first: &[PriceEvent],
    cut: i64,
    second: &[PriceEvent],
) -> (BTreeMap<Key, Point>, BTreeMap<Key, Point>) {
    let ingest = Ingest::new(pool.clone());
    ingest.store(first, &[]).await.unwrap();

    let cut = DateTime::UNIX_EPOCH + TimeDelta::microseconds(cut * 500_000);
    sqlx::query("delete from price_points where quoted_at < $1")
        .bind(cut)
        .execute(pool)
        .await
        .unwrap();
    sqlx::query("update retention set points_from = $1")
        .bind(cut)
        .execute(pool)
        .await
        .unwrap();

    for batch in second.chunks(7) {
        ingest.store(batch, &[]).await.unwrap();
    }

    let all: Vec<_> = first
        .iter()
        .chain(second.iter().filter(|event| event.timestamp >= cut))
        .cloned()
        .collect();

    let mut expected = expected(&all);
    expected.retain(|(_, _, quoted_at), _| *quoted_at >= cut);

    (stored(pool).await, expected)
}

/// Events whose prices have two decimals. With six or more, the means of three that remain after
/// retention do not always determine the last place of the dropped prices.
fn cents(series: u8, count: usize) -> impl Strategy<Value = Vec<PriceEvent>> {
    events(series, count).prop_map(|mut events| {
        for (event, number) in events.iter_mut().zip(1_u32..) {
            event.price = format!("{}.{:02}", 1 + number * 7_919 % 400, number * 31 % 100)
                .parse()
                .unwrap();
        }
        events
    })
}

#[test]
fn after_retention_late_and_revised_points_leave_the_averages_that_would_be_without_it() {
    let of_one_unit = || {
        cents(2, 60).prop_map(|events| {
            events
                .into_iter()
                .map(|event| PriceEvent {
                    currency: None,
                    ..event
                })
                .collect::<Vec<_>>()
        })
    };

    check(
        150,
        (of_one_unit(), 0_i64..60, of_one_unit()),
        &async |pool, (first, cut, second)| {
            let (stored, expected) = with_a_drop_between(pool, &first, cut, &second).await;
            prop_assert_eq!(&stored, &expected);

            let mut newest = newest(pool).await;
            newest.retain(|key, _| stored.contains_key(key));
            prop_assert_eq!(newest, newest_of(&stored));
            Ok(())
        },
    );
}

#[test]
fn after_retention_an_average_that_units_make_untellable_says_how_many_points_it_is_of() {
    check(100, (cents(2, 80), 0_i64..60, cents(2, 80)), &async |pool,
                                                                (
        first,
        cut,
        second,
    )| {
        let (stored, expected) = with_a_drop_between(pool, &first, cut, &second).await;

        prop_assert_eq!(
            stored.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>()
        );

        for (key, point) in &stored {
            let whole = &expected[key];
            prop_assert!(
                point.points <= whole.points,
                "{:?}: {:?}, {:?}",
                key,
                point,
                whole
            );

            if point.points == whole.points {
                prop_assert_eq!(point, whole);
            }
        }
        Ok(())
    });
}

#[test]
fn large_batches_take_the_copy_path_and_end_the_same() {
    check(6, (events(3, 2), events(40, 3_000)), &async |pool,
                                                        (
        first,
        events,
    )| {
        let all: Vec<_> = first.into_iter().chain(events).collect();

        let ingest = Ingest::new(pool.clone());
        for batch in all.chunks(2_000) {
            ingest.store(batch, &[]).await.unwrap();
        }

        verify(pool, &all).await
    });
}
