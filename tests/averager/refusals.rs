//! Events that Postgres always refuses: each is found and quarantined, and delays no other event.

use std::time::Duration;

use averager::handler::handle;
use chrono::{DateTime, TimeDelta};
use shared::repository::ingest::{Ingest, Stored};
use shared::repository::part_states::{self, Part};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::time::{Instant, timeout};

use crate::batches::{batch, prices_and_averages, quote, run};

/// An event that cannot be stored is not waited for; the limit allows for a machine that is busy
/// with other tests.
const AT_ONCE: Duration = Duration::from_secs(40);

/// An event of `symbol`, `second` seconds after 10:30:00 UTC.
fn event(symbol: &str, price: &str, second: usize) -> String {
    let quoted = DateTime::from_timestamp(1_710_930_600, 0).unwrap()
        + TimeDelta::seconds(i64::try_from(second).unwrap());

    format!(
        r#"{{"symbol":"{symbol}","price":{price},"timestamp":"{}","source":"feed"}}"#,
        quoted.to_rfc3339()
    )
}

fn texts(events: &[String]) -> Vec<&str> {
    events.iter().map(String::as_str).collect()
}

/// Handles a batch that has more time than handling may take.
async fn handled(pool: &PgPool, event: &str) -> Result<Stored, String> {
    let ingest = Ingest::new(pool.clone());
    let handled = timeout(
        AT_ONCE,
        handle(&ingest, event, Instant::now() + AT_ONCE * 4),
    )
    .await;

    handled
        .expect("an answer without waiting")
        .map_err(|error| error.to_string())
}

async fn alter(pool: &PgPool, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
        .execute(pool)
        .await
        .unwrap();
}

/// The offset and the reason of each record in quarantine.
async fn quarantine(pool: &PgPool) -> Vec<(i64, String)> {
    sqlx::query_as("select record_offset, reason from rejected_events order by record_offset")
        .fetch_all(pool)
        .await
        .unwrap()
}

const NO_SIX: &str = "alter table price_points add constraint no_six check (price <> 666)";
const NO_BAD: &str = "create function refuse() returns trigger language plpgsql as
         $$ begin if new.symbol = 'BAD' then raise exception 'no'; end if; return new; end $$;
     create trigger refuse before insert on series for each row execute function refuse()";

#[tokio::test]
async fn the_event_that_postgres_refuses_is_set_aside_and_all_others_are_stored() {
    let pool = e2e::postgres::database().await.unwrap();
    alter(&pool, NO_SIX).await;
    alter(&pool, NO_BAD).await;

    // Enough events for COPY, in several series, with refused ones at both ends and side by side.
    let refused = [
        (0, "23514"),
        (300, "23514"),
        (301, "P0001"),
        (650, "P0001"),
        (999, "23514"),
    ];

    let events: Vec<String> = (0..1_000)
        .map(
            |number| match refused.iter().find(|(at, _)| *at == number) {
                Some((_, "P0001")) => event("BAD", "5", number),
                Some(_) => event("S1", "666", number),
                None => event(&format!("S{}", number % 7), "5", number),
            },
        )
        .collect();

    let poison = "nonsense".to_owned();
    let all: Vec<String> = events.iter().chain([&poison]).cloned().collect();
    let summary = handled(&pool, &batch(0, &texts(&all))).await.unwrap();

    let counted = |added, superseded| Stored {
        added,
        superseded,
        rejected: 6,
        ..Stored::default()
    };

    assert_eq!(summary, counted(995, 0));

    let kept = quarantine(&pool).await;

    for ((offset, reason), (number, code)) in kept.iter().zip(refused) {
        assert_eq!(*offset, i64::try_from(number).unwrap());
        assert_eq!(
            *reason,
            format!("Postgres refuses the event's values (SQLSTATE {code})")
        );
    }
    assert_eq!(kept.len(), 6, "{kept:?}");

    let noted = part_states::get(&pool, Part::Averager)
        .await
        .unwrap()
        .error
        .unwrap();
    assert_eq!(
        noted,
        "price-events-3 at offset 999: Postgres refuses the event's values (SQLSTATE 23514)"
    );

    let again = handled(&pool, &batch(0, &texts(&all))).await.unwrap();
    assert_eq!(again, counted(0, 995));
    assert_eq!(
        quarantine(&pool).await,
        kept,
        "another delivery adds nothing"
    );
}

#[tokio::test]
async fn a_refused_event_alone_or_among_few_is_set_aside_too() {
    let pool = e2e::postgres::database().await.unwrap();
    alter(&pool, NO_SIX).await;
    let ingest = Ingest::new(pool.clone());

    // The second and the third batch take the single-statement path of a writer that remembers its
    // tails.
    for (second, prices) in [
        (0, ["1", "2"].as_slice()),
        (10, &["666"]),
        (20, &["3", "666"]),
        (30, &["4"]),
    ] {
        let events: Vec<String> = prices
            .iter()
            .zip(second..)
            .map(|(price, second)| quote(price, second, second))
            .collect();

        let event = batch(second.into(), &texts(&events));
        timeout(AT_ONCE, handle(&ingest, &event, Instant::now() + AT_ONCE))
            .await
            .unwrap()
            .unwrap();
    }

    let expected = [
        ("1", "1", 1),
        ("2", "1.5", 2),
        ("3", "2", 3),
        ("4", "2.5", 4),
    ];
    assert_eq!(
        prices_and_averages(&pool).await,
        expected.map(|(price, average, points)| (price.to_owned(), average.to_owned(), points))
    );

    assert_eq!(
        quarantine(&pool)
            .await
            .iter()
            .map(|(offset, _)| *offset)
            .collect::<Vec<_>>(),
        [10, 21]
    );
}

#[tokio::test]
async fn a_refusal_that_is_no_event_s_fault_fails_at_once_with_its_code_and_quarantines_nothing() {
    let pool = e2e::postgres::database().await.unwrap();
    // The views read the column, so its type could not change.
    alter(&pool, "drop view prices, latest_prices").await;
    alter(
        &pool,
        "alter table price_points alter column points type bool using true",
    )
    .await;

    let error = handled(&pool, &batch(0, &[&quote("1", 0, 0), &quote("2", 1, 1)]))
        .await
        .unwrap_err();
    assert_eq!(error, "Postgres refused the statement (SQLSTATE 42804)");

    assert_eq!(
        part_states::get(&pool, Part::Averager).await.unwrap().error,
        Some(error)
    );
    assert_eq!(quarantine(&pool).await, []);
}

#[tokio::test]
async fn what_is_waited_for_in_vain_is_noted_with_its_code() {
    let pool = e2e::postgres::database().await.unwrap();
    alter(&pool, "alter table series rename to elsewhere").await;

    let (ingest, event) = (Ingest::new(pool.clone()), batch(0, &[&quote("1", 0, 0)]));
    let error = handle(&ingest, &event, Instant::now() + Duration::from_secs(2))
        .await
        .unwrap_err();

    let noted = part_states::get(&pool, Part::Averager)
        .await
        .unwrap()
        .error
        .unwrap();
    assert_eq!(noted, error.to_string());
    assert!(
        noted.ends_with("; its last answer: Postgres is not available (SQLSTATE 42P01)"),
        "{noted}"
    );

    alter(&pool, "alter table elsewhere rename to series").await;
    assert_eq!(run(&pool, &event).await.added, 1, "it may pass");
}

#[tokio::test]
async fn a_batch_of_refused_events_fails_so_that_its_parts_come_by_themselves() {
    let pool = e2e::postgres::database().await.unwrap();
    alter(
        &pool,
        "alter table price_points add constraint nothing check (price < 0)",
    )
    .await;

    let events: Vec<String> = (0..600).map(|number| event("S", "5", number)).collect();

    let error = handled(&pool, &batch(0, &texts(&events)))
        .await
        .unwrap_err();
    assert_eq!(error, "Postgres refused the statement (SQLSTATE 23514)");

    let summary = handled(&pool, &batch(0, &texts(&events[..30])))
        .await
        .unwrap();
    assert_eq!((summary.added, summary.rejected), (0, 30));
}

#[tokio::test]
async fn a_leap_second_is_the_point_of_the_second_after_it_in_whatever_order_they_come() {
    let leap = r#"{"symbol":"LEAP","price":3,"timestamp":"2024-03-20T10:30:60Z","source":"f",
                   "polled_at":"2024-03-20T10:30:03Z"}"#;
    let after = r#"{"symbol":"LEAP","price":5,"timestamp":"2024-03-20T10:31:00Z","source":"f",
                    "polled_at":"2024-03-20T10:30:02Z"}"#;
    let noon = r#"{"symbol":"LEAP","price":7,"timestamp":"2024-03-20T12:00:00Z","source":"f"}"#;

    for batches in [
        vec![vec![after, noon], vec![leap]],
        vec![vec![leap, noon], vec![after]],
        vec![vec![noon, leap, after]],
    ] {
        let pool = e2e::postgres::database().await.unwrap();

        for (number, values) in batches.iter().enumerate() {
            handled(&pool, &batch(i64::try_from(number * 10).unwrap(), values))
                .await
                .unwrap();
        }

        let expected = [("3", "3", 1), ("7", "5", 2)];
        assert_eq!(
            prices_and_averages(&pool).await,
            expected.map(|(price, average, points)| (price.to_owned(), average.to_owned(), points)),
            "the leap second was polled last"
        );
    }
}

#[tokio::test]
async fn kafka_timestamps_that_are_none_or_no_times_spoil_no_batch() {
    let pool = e2e::postgres::database().await.unwrap();
    let values = [
        quote("1", 0, 0),
        event("S", "2", 0),
        event("S", "3", 1),
        event("S", "4", 2),
        event("S", "5", 3),
    ];

    let mut event = batch(0, &texts(&values));
    for odd in [
        "-1",
        "-1",
        "-9223372036854775808",
        "9223372036854775807",
        "0",
    ] {
        event = event.replacen(
            "\"timestamp\":1710930605000",
            &format!("\"timestamp\":{odd}"),
            1,
        );
    }

    let summary = run(&pool, &event).await;
    assert_eq!((summary.added, summary.rejected), (1, 4));

    let reasons = quarantine(&pool).await;
    for (reason, expected) in reasons.iter().map(|(_, reason)| reason).zip([
        "the record has no Kafka timestamp and the event no polled_at",
        "the record has no Kafka timestamp and the event no polled_at",
        "the record's Kafka timestamp lies more than five minutes ahead of the averager's clock",
        "timestamp lies before 1970 or more than a day after the record's time",
    ]) {
        assert!(reason.starts_with(expected), "{reason}");
    }

    let kept: Vec<i64> = sqlx::query_scalar(
        "select (extract(epoch from record_timestamp) * 1000)::int8 from rejected_events
         where record_offset in (1, 4) order by record_offset",
    )
    .fetch_all(&pool)
    .await
    .unwrap();

    assert_eq!(kept, [-1, 0], "what Kafka said");
}
