//! The effect of migrations on points that a database already holds.

use shared::market::Currency;
use shared::repository::ingest::Ingest;
use shared::repository::price_points::{self, Range};
use shared::repository::{MIGRATOR, series};
use sqlx::{PgPool, raw_sql};

use crate::units::{averages, owned, quote};

/// A database with the schema of `version`, filled by `fill`.
async fn database_at(version: i64, fill: &'static str) -> PgPool {
    let url = e2e::postgres::empty_database_url().await.unwrap();
    let pool = PgPool::connect(&url).await.unwrap();
    MIGRATOR.run_to(version, &pool).await.unwrap();
    raw_sql(fill).execute(&pool).await.unwrap();
    pool
}

#[tokio::test]
async fn stored_means_of_three_get_six_places_where_their_three_points_are_stored() {
    let pool = database_at(
        3,
        "insert into series (symbol, provider, last_at, last_polled_at, last_price, last_average, last_points,
                             price_before_2, price_before_1)
         values ('THREE', 'p', to_timestamp(3), now(), 11, 10.33, 3, 10, 10),
                ('FOUR', 'p', to_timestamp(4), now(), 1, 1.5, 4, 1, 2),
                ('EDGE', 'p', to_timestamp(3), now(), 11, 10.33, 3, 10, 10),
                ('FINE', 'p', to_timestamp(3), now(), 1, 0.3333333333333337, 3, 1, 1);
         insert into price_points (quoted_at, polled_at, event_id, series_id, points, price, moving_average)
         select to_timestamp(second), now(), gen_random_uuid(), series_id, points, price, average
         from (values ('THREE', 1, 10, 10, 1), ('THREE', 2, 10, 10, 2), ('THREE', 3, 11, 10.33, 3),
                      ('FOUR', 1, 1, 1, 1), ('FOUR', 2, 2, 1.5, 2), ('FOUR', 3, 2, 1.67, 3), ('FOUR', 4, 1, 1.5, 4),
                      ('EDGE', 2, 10, 10, 2), ('EDGE', 3, 11, 10.33, 3),
                      ('FINE', 1, 0.0000000000000001, 0.0000000000000001, 1),
                      ('FINE', 2, 0.9999999999999999, 0.5, 2), ('FINE', 3, 0.0000000000000011, 0.3333333333333337, 3))
              as p(symbol, second, price, average, points)
         join series using (symbol)",
    )
    .await;
    MIGRATOR.run(&pool).await.unwrap();

    let means: Vec<(String, String)> = sqlx::query_as(
        "select symbol, moving_average::text from price_points join series using (series_id)
         where points = 3 order by symbol",
    )
    .fetch_all(&pool)
    .await
    .unwrap();

    let newest: Vec<(String, String)> = sqlx::query_as(
        "select symbol, last_average::text from series where last_points = 3 order by symbol",
    )
    .fetch_all(&pool)
    .await
    .unwrap();

    let fine = "0.3333333333333337";
    let expected = [
        ("EDGE", "10.33"),
        ("FINE", fine),
        ("FOUR", "1.666667"),
        ("THREE", "10.333333"),
    ];

    assert_eq!(
        means,
        expected.map(|(symbol, mean)| (symbol.to_owned(), mean.to_owned()))
    );

    let newest: Vec<_> = newest
        .iter()
        .map(|(symbol, mean)| (symbol.as_str(), mean.as_str()))
        .collect();

    assert_eq!(
        newest,
        [("EDGE", "10.33"), ("FINE", fine), ("THREE", "10.333333")]
    );
}

#[tokio::test]
async fn points_older_than_units_have_the_unit_of_their_series_and_are_averaged_on() {
    let pool = database_at(
        4,
        "insert into series (symbol, provider, last_at, last_polled_at, last_price, last_average, last_points,
                             last_currency, price_before_1)
         values ('PENCE', 'yahoo', to_timestamp(1700000002), now(), 30, 20, 2, 'GBp', 10),
                ('NONE', 'yahoo', to_timestamp(1700000002), now(), 30, 20, 2, null, 10);
         insert into price_points (quoted_at, polled_at, event_id, series_id, points, price, moving_average)
         select to_timestamp(1700000000 + second), now(), gen_random_uuid(), series_id, points, price, average
         from (values (0, 10, 10, 1), (2, 30, 20, 2)) as p(second, price, average, points) cross join series",
    )
    .await;
    MIGRATOR.run(&pool).await.unwrap();

    let ingest = Ingest::new(pool.clone());

    for (symbol, unit, other) in [("PENCE", Some("GBp"), None), ("NONE", None, Some("GBp"))] {
        ingest
            .store(
                &[quote(symbol, "20", unit, 1), quote(symbol, "60", unit, 3)],
                &[],
            )
            .await
            .unwrap();

        ingest
            .store(&[quote(symbol, "7", other, 4)], &[])
            .await
            .unwrap();

        let expected = owned([("10", 1), ("15", 2), ("20", 3), ("30", 4), ("7", 1)]);
        assert_eq!(averages(&pool, symbol).await, expected);

        let newest = series::find(
            &pool,
            &symbol.parse().unwrap(),
            None,
            &"yahoo".parse().unwrap(),
        )
        .await;

        let series_id = newest.unwrap().unwrap().series_id;
        let history = price_points::history(&pool, series_id, Range::default(), 10)
            .await
            .unwrap();

        let units: Vec<_> = history
            .iter()
            .rev()
            .map(|point| point.currency.as_ref().map(Currency::as_str))
            .collect();

        assert_eq!(units, [unit, unit, unit, unit, other]);
    }
}
