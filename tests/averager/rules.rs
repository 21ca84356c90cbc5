//! Single rules of the averager, each with the smallest batch that shows it.

use std::time::Duration;

use averager::handler::handle;
use e2e::waiting::until;
use shared::repository;
use shared::repository::ingest::{Ingest, Stored};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use tokio::time::Instant;

use crate::batches::{batch, prices_and_averages, quote, run};

#[tokio::test]
async fn a_bad_record_is_quarantined_with_its_bytes_while_its_neighbours_are_stored() {
    let pool = e2e::postgres::database().await.unwrap();
    let event = batch(10, &[&quote("1", 0, 0), "{\"symbol\":", &quote("2", 1, 1)]);

    let first = run(&pool, &event).await;
    assert_eq!(
        first,
        Stored {
            added: 2,
            revised: 0,
            superseded: 0,
            rejected: 1,
            expired: 0
        }
    );

    let again = run(&pool, &event).await;
    assert_eq!(
        again,
        Stored {
            added: 0,
            revised: 0,
            superseded: 2,
            rejected: 1,
            expired: 0
        }
    );

    let kept: Vec<(String, i32, i64, Vec<u8>, String)> = sqlx::query_as(
        "select topic, partition, record_offset, value, reason from rejected_events",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(
        kept.len(),
        1,
        "a record that is delivered again is kept once"
    );

    let (topic, partition, offset, value, reason) = &kept[0];
    assert_eq!(
        (topic.as_str(), *partition, *offset),
        ("price-events", 3, 11)
    );
    assert_eq!(value, b"{\"symbol\":");
    assert!(
        reason.starts_with("the value is not a price event"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_reason_that_quotes_what_postgres_refuses_is_kept_readable() {
    let pool = e2e::postgres::database().await.unwrap();
    let spoiled = quote("1", 0, 0).replacen('{', "{\"id\":\"\\u0000\",", 1);
    let summary = run(&pool, &batch(0, &[&spoiled, &quote("2", 1, 1)])).await;
    assert_eq!((summary.added, summary.rejected), (1, 1));

    let reason: String = sqlx::query_scalar("select reason from rejected_events")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(
        reason.starts_with("the value is not a price event"),
        "{reason}"
    );
}

#[tokio::test]
async fn symbols_that_differ_by_case_are_two_series() {
    let pool = e2e::postgres::database().await.unwrap();
    let of = |symbol: &str, price: &str, second: u8| {
        quote(price, second, second).replace("AAPL", symbol)
    };

    let quotes = [
        of("TPC", "1", 0),
        of("TpC", "9", 0),
        of("TPC", "2", 1),
        of("TpC", "8", 1),
        of("tpc", "5", 1),
    ];

    run(&pool, &batch(0, &quotes.each_ref().map(String::as_str))).await;
    run(&pool, &batch(9, &[&of("TpC", "7", 2), &of("TPC", "3", 2)])).await;

    let series: Vec<(String, String, i16)> = sqlx::query_as(
        "select symbol, last_average::text, last_points from series order by symbol collate \"C\"",
    )
    .fetch_all(&pool)
    .await
    .unwrap();

    let expected = [("TPC", "2", 3), ("TpC", "8", 3), ("tpc", "5", 1)];
    assert_eq!(
        series,
        expected.map(|(symbol, average, points)| (symbol.to_owned(), average.to_owned(), points))
    );
}

#[tokio::test]
async fn an_average_shows_its_true_count_until_there_are_five_points() {
    let pool = e2e::postgres::database().await.unwrap();
    let quotes: Vec<String> = (0..6)
        .map(|second| quote(&format!("{}.5", 100 + second), second, second))
        .collect();

    run(
        &pool,
        &batch(0, &quotes.iter().map(String::as_str).collect::<Vec<_>>()),
    )
    .await;

    let counts: Vec<(String, i16)> = prices_and_averages(&pool)
        .await
        .into_iter()
        .map(|(_, average, points)| (average, points))
        .collect();

    let expected = [
        ("100.5", 1),
        ("101", 2),
        ("101.5", 3),
        ("102", 4),
        ("102.5", 5),
        ("103.5", 5),
    ];
    assert_eq!(
        counts,
        expected.map(|(average, points)| (average.to_owned(), points))
    );
}

#[tokio::test]
async fn the_answer_polled_last_wins_though_an_earlier_price_came_again() {
    // Prices 10, 11 and 10 are polled in this order and delivered as first, third, second: the
    // third answer must win.
    let pool = e2e::postgres::database().await.unwrap();

    for (offset, (price, polled)) in [("10", 1), ("10", 3), ("11", 2)].into_iter().enumerate() {
        run(
            &pool,
            &batch(i64::try_from(offset).unwrap(), &[&quote(price, 0, polled)]),
        )
        .await;
    }

    assert_eq!(
        prices_and_averages(&pool).await,
        [("10".to_owned(), "10".to_owned(), 1)]
    );

    let polled: (String,) =
        sqlx::query_as("select to_char(last_polled_at at time zone 'UTC', 'SS') from series")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(
        polled.0, "03",
        "the series tells the newest poll, for max_age"
    );
}

#[tokio::test]
async fn a_writer_that_was_overtaken_notices_it_and_leaves_exact_averages() {
    let pool = e2e::postgres::database().await.unwrap();
    let (one, other) = (Ingest::new(pool.clone()), Ingest::new(pool.clone()));

    let store = async |writer: &Ingest, price: &str, second: u8| {
        let event = batch(i64::from(second), &[&quote(price, second, second)]);
        handle(writer, &event, Instant::now() + Duration::from_secs(20))
            .await
            .unwrap()
    };

    store(&one, "1", 0).await;
    store(&other, "2", 10).await;

    // The first writer remembers its own point as the newest. It would append to it here, and then
    // place a point before one that it does not know.
    store(&one, "3", 20).await;
    store(&other, "4", 30).await;
    store(&one, "6", 25).await;

    let expected = [
        ("1", "1", 1),
        ("2", "1.5", 2),
        ("3", "2", 3),
        ("6", "3", 4),
        ("4", "3.2", 5),
    ];
    assert_eq!(
        prices_and_averages(&pool).await,
        expected.map(|(price, average, points)| (price.to_owned(), average.to_owned(), points))
    );
}

#[tokio::test]
async fn a_late_point_repairs_its_own_average_and_the_four_after_it() {
    let pool = e2e::postgres::database().await.unwrap();
    let on_time: Vec<String> = [0, 2, 3, 4, 5, 6, 7]
        .iter()
        .map(|second| quote("10", *second, *second))
        .collect();

    run(
        &pool,
        &batch(0, &on_time.iter().map(String::as_str).collect::<Vec<_>>()),
    )
    .await;

    run(&pool, &batch(50, &[&quote("20", 1, 8)])).await;

    let averages: Vec<String> = prices_and_averages(&pool)
        .await
        .into_iter()
        .map(|(_, average, _)| average)
        .collect();

    assert_eq!(
        averages,
        ["10", "15", "13.333333", "12.5", "12", "12", "10", "10"]
    );
}

#[tokio::test]
async fn polling_the_same_price_again_at_the_edge_of_retention_leaves_the_average_as_it_was() {
    let pool = e2e::postgres::database().await.unwrap();
    let quotes: Vec<String> = (0..5)
        .map(|second| quote(&format!("1{second}"), second, second))
        .collect();

    run(
        &pool,
        &batch(0, &quotes.iter().map(String::as_str).collect::<Vec<_>>()),
    )
    .await;

    sqlx::query("delete from price_points where points < 5")
        .execute(&pool)
        .await
        .unwrap();

    let summary = run(&pool, &batch(5, &[&quote("14", 4, 9)])).await;
    assert_eq!(
        summary,
        Stored {
            revised: 1,
            ..Stored::default()
        }
    );
    assert_eq!(
        prices_and_averages(&pool).await,
        [("14".to_owned(), "12".to_owned(), 5)]
    );

    run(&pool, &batch(6, &[&quote("20", 5, 10)])).await;
    let newest = prices_and_averages(&pool).await.pop().unwrap();
    assert_eq!(
        newest,
        ("20".to_owned(), "14".to_owned(), 5),
        "the tail outlives the points it came from"
    );
}

#[tokio::test]
async fn with_postgres_away_the_batch_fails_when_its_time_is_up_and_says_so() {
    let pool = repository::connect("postgres://nobody@127.0.0.1:1/none", 1).unwrap();
    let give_up_at = Instant::now() + Duration::from_millis(300);

    let error = handle(
        &Ingest::new(pool),
        &batch(0, &[&quote("1", 0, 0)]),
        give_up_at,
    )
    .await
    .unwrap_err();

    assert_eq!(
        error.to_string(),
        "Postgres did not store the batch before the invocation's time ran out"
    );
}

#[tokio::test]
async fn a_batch_waits_for_postgres_within_the_invocation() {
    // At first the schema is missing, as after a fresh start whose upkeep is still running.
    let url = e2e::postgres::database_url().await.unwrap();
    let (writer, admin) = (
        repository::connect(&url, 1).unwrap(),
        PgPool::connect(&url).await.unwrap(),
    );

    let mut taking_away = admin.begin().await.unwrap();
    sqlx::query("alter table series rename to series_away")
        .execute(&mut *taking_away)
        .await
        .unwrap();

    let event = batch(0, &[&quote("1", 0, 0)]);

    let (summary, ()) = tokio::join!(run(&writer, &event), async {
        // The averager waits for the table, then finds it missing and drops its connection.
        let waiting =
            "select pid from pg_locks where not granted and relation = 'series_away'::regclass";
        let waiting = one_pid(&mut taking_away, waiting).await;

        taking_away.commit().await.unwrap();

        let session = format!("select pid from pg_stat_activity where pid = {waiting}");
        until("end of the session", Duration::from_secs(20), async || {
            let pid: Option<i32> = sqlx::query_scalar(AssertSqlSafe(&*session))
                .fetch_optional(&admin)
                .await
                .unwrap();
            pid.is_none().then_some(())
        })
        .await;

        sqlx::query("alter table series_away rename to series")
            .execute(&admin)
            .await
            .unwrap();
    });

    assert_eq!(summary.added, 1);
}

/// Waits until `select` finds a process id.
async fn one_pid(connection: &mut PgConnection, select: &'static str) -> i32 {
    until("process", Duration::from_secs(20), async || {
        sqlx::query_scalar(select)
            .fetch_optional(&mut *connection)
            .await
            .unwrap()
    })
    .await
}

#[tokio::test]
async fn the_widest_prices_come_back_from_postgres_with_every_digit() {
    let pool = e2e::postgres::database().await.unwrap();

    let widest = "99999999999.999999999999999";

    run(
        &pool,
        &batch(
            0,
            &[
                &quote(widest, 0, 0),
                &quote(widest, 1, 1),
                &quote(widest, 2, 2),
            ],
        ),
    )
    .await;

    let other = "99999999999.999999999999998";
    run(&pool, &batch(9, &[&quote(other, 3, 3)])).await;

    let rows = prices_and_averages(&pool).await;
    assert_eq!(
        rows[3],
        (
            other.to_owned(),
            "99999999999.99999999999999875".to_owned(),
            4
        )
    );
}
