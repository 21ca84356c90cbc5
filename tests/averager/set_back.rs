//! A database that is set back, by a restore or a failover to a lagging replica, under writers that
//! remember a later state.

use shared::repository::ingest::Ingest;
use sqlx::{PgPool, raw_sql};

use crate::reference::{expected, stored};
use crate::units::{averages, owned, quote};

/// Saves the tables that the averager writes.
async fn save(pool: &PgPool) {
    raw_sql(
        "create table saved_series as table series;
         create table saved_points as table price_points;
         create table saved_units as table units;
         create table saved_fences as table ingest_fences",
    )
    .execute(pool)
    .await
    .unwrap();
}

/// Replaces these tables' rows by the saved ones.
async fn set_back(pool: &PgPool) {
    raw_sql(
        "begin;
         truncate series, price_points, units, ingest_fences;
         insert into series table saved_series;
         insert into price_points table saved_points;
         insert into units table saved_units;
         insert into ingest_fences table saved_fences;
         commit",
    )
    .execute(pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn tails_are_not_taken_from_a_past_that_another_writer_replaced_at_the_same_count() {
    let pool = e2e::postgres::database().await.unwrap();
    let (one, other) = (Ingest::new(pool.clone()), Ingest::new(pool.clone()));

    one.store(&[quote("A", "10", None, 0)], &[]).await.unwrap();
    save(&pool).await;
    one.store(&[quote("A", "90", None, 10)], &[]).await.unwrap();

    set_back(&pool).await;
    other
        .store(&[quote("A", "20", None, 10)], &[])
        .await
        .unwrap();
    one.store(&[quote("A", "30", None, 20)], &[]).await.unwrap();

    assert_eq!(
        averages(&pool, "A").await,
        owned([("10", 1), ("15", 2), ("20", 3)])
    );
}

#[tokio::test]
async fn a_unit_is_not_written_with_the_number_that_it_had_in_a_past_that_is_gone() {
    let pool = e2e::postgres::database().await.unwrap();
    let (one, other) = (Ingest::new(pool.clone()), Ingest::new(pool.clone()));

    let mut events = vec![quote("A", "10", Some("USD"), 0)];
    one.store(&events, &[]).await.unwrap();
    save(&pool).await;

    // This series is behind another fence, so that what the writer remembers of the first one stays
    // valid.
    one.store(&[quote("B", "1", Some("EUR"), 0)], &[])
        .await
        .unwrap();

    set_back(&pool).await;
    for (writer, event) in [
        (&other, quote("C", "1", Some("JPY"), 0)),
        (&one, quote("A", "11", Some("EUR"), 1)),
    ] {
        writer
            .store(std::slice::from_ref(&event), &[])
            .await
            .unwrap();
        events.push(event);
    }

    assert_eq!(stored(&pool).await, expected(&events));
}
