//! Whole runs of upkeep in which one task cannot be done.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use e2e::schedules::schedules_at;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use serde_json::json;
use shared::config::{Kafka, KafkaSecurity, Retention, TopicRetention};
use shared::repository;
use shared::repository::part_states::{self, Part};
use shared::repository::partitions::{PRICE_POINTS, drop_before, make_ahead};
use shared::repository::polling_jobs::{self, NewJob};
use shared::repository::rejected_events::{self, RejectedEvent};
use sqlx::{AssertSqlSafe, PgPool};
use upkeep::Upkeep;
use upkeep::time::Time;
use uuid::Uuid;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::world::{at, quote, store};

/// More time than all tasks need.
const ENOUGH: Duration = Duration::from_secs(240);

/// Kafka with both topics.
pub(crate) fn broker() -> MockCluster<'static, DefaultProducerContext> {
    let broker = MockCluster::new(1).unwrap();
    broker.create_topic("price-events", 6, 1).unwrap();
    broker.create_topic("price-events.dlt", 1, 1).unwrap();
    broker
}

/// EventBridge Scheduler without schedules.
pub(crate) async fn event_bridge() -> MockServer {
    let server = MockServer::start().await;
    let none = ResponseTemplate::new(200).set_body_json(json!({"Schedules": []}));

    Mock::given(method("GET"))
        .and(path("/schedules"))
        .respond_with(none)
        .mount(&server)
        .await;

    server
}

pub(crate) fn upkeep(
    pool: &PgPool,
    broker: &MockCluster<'_, DefaultProducerContext>,
    event_bridge: &str,
) -> Upkeep {
    let kafka = Kafka {
        bootstrap_servers: broker.bootstrap_servers(),
        security: KafkaSecurity::Plaintext,
        price_topic: "price-events".to_owned(),
        dead_letter_topic: "price-events.dlt".to_owned(),
    };

    let retention = Retention {
        points_days: None,
        raw_responses_days: 7,
        runs_days: 30,
        rejected_days: 90,
    };
    let topic_retention = TopicRetention {
        prices_days: 7,
        dead_letters_days: 30,
    };

    Upkeep {
        pool: pool.clone(),
        kafka,
        schedules: schedules_at(event_bridge),
        relay_jobs: 200,
        retention,
        topic_retention,
        metrics: None,
        first_key: None,
    }
}

/// The numbers of series, jobs and rejected events.
async fn left(pool: &PgPool) -> (i64, i64, i64) {
    let counts = "select (select count(*) from series), (select count(*) from polling_jobs),
                         (select count(*) from rejected_events)";
    sqlx::query_as(counts).fetch_one(pool).await.unwrap()
}

/// Leaves a series whose points were dropped, a deleted job, and an event that was rejected a
/// hundred days ago.
async fn leave(pool: &PgPool) {
    make_ahead(pool, PRICE_POINTS, at("2024-01-01T00:00:00Z"))
        .await
        .unwrap();
    store(pool, &[quote(at("2024-01-15T12:00:00Z"), 1)]).await;
    drop_before(pool, PRICE_POINTS, at("2024-02-01T00:00:00Z"))
        .await
        .unwrap();

    let job = NewJob {
        job_id: Uuid::now_v7(),
        symbols: vec!["AAPL".parse().unwrap()],
        provider: "yahoo".parse().unwrap(),
        interval_seconds: 60,
        market_hours: false,
        created_at: Utc::now(),
    };
    polling_jobs::insert(pool, &job, 50).await.unwrap();
    assert!(polling_jobs::delete(pool, job.job_id).await.unwrap());

    let event = RejectedEvent {
        topic: "price-events".to_owned(),
        partition: 0,
        offset: 0,
        timestamp: Utc::now(),
        key: None,
        value: None,
        reason: "no JSON".to_owned(),
    };
    rejected_events::insert(&mut pool.acquire().await.unwrap(), &[event])
        .await
        .unwrap();

    let age = "update rejected_events set rejected_at = $1";
    sqlx::query(age)
        .bind(Utc::now() - TimeDelta::days(100))
        .execute(pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_run_that_fails_in_part_does_the_rest_and_notes_which_tasks_failed() {
    let (pool, broker) = (e2e::postgres::database().await.unwrap(), broker());
    leave(&pool).await;
    assert_eq!(left(&pool).await, (1, 1, 1));

    let away = upkeep(&pool, &broker, "http://127.0.0.1:1");
    let failed = away.handle(&json!({}), Time::of(ENOUGH)).await.unwrap_err();
    assert_eq!(failed.tasks(), "schedules", "{failed}");
    assert_eq!(left(&pool).await, (0, 0, 0), "the other tasks were done");

    let noted = part_states::get(&pool, Part::Upkeep).await.unwrap();
    assert_eq!(
        (noted.succeeded_at, noted.error.as_deref()),
        (None, Some("schedules"))
    );

    let event_bridge = event_bridge().await;
    upkeep(&pool, &broker, &event_bridge.uri())
        .handle(&json!({}), Time::of(ENOUGH))
        .await
        .unwrap();

    let noted = part_states::get(&pool, Part::Upkeep).await.unwrap();
    assert!(noted.succeeded_at > noted.failed_at, "{noted:?}");
}

#[tokio::test]
async fn nothing_goes_for_its_age_while_the_clocks_of_upkeep_and_postgres_differ() {
    let url = e2e::postgres::database_url().await.unwrap();
    let (admin, broker, event_bridge) = (
        repository::connect(&url, 1).unwrap(),
        broker(),
        event_bridge().await,
    );
    leave(&admin).await;

    let clock = "create schema wrong;
        create function wrong.clock_timestamp() returns timestamptz language sql as
            $$ select pg_catalog.clock_timestamp() - interval '2 hours' $$";
    sqlx::raw_sql(clock).execute(&admin).await.unwrap();

    let name: String = sqlx::query_scalar("select current_database()")
        .fetch_one(&admin)
        .await
        .unwrap();
    let alter = format!("alter database {name} set search_path = public, wrong, pg_catalog");
    sqlx::raw_sql(AssertSqlSafe(alter))
        .execute(&admin)
        .await
        .unwrap();

    let wrong = upkeep(
        &repository::connect(&url, 2).unwrap(),
        &broker,
        &event_bridge.uri(),
    );
    let failed = wrong
        .handle(&json!({}), Time::of(ENOUGH))
        .await
        .unwrap_err();
    assert_eq!(failed.tasks(), "clocks", "{failed}");
    assert!(
        failed.to_string().contains("set the one that is wrong"),
        "{failed}"
    );

    assert_eq!(left(&admin).await, (1, 1, 1));

    upkeep(&admin, &broker, &event_bridge.uri())
        .handle(&json!({}), Time::of(ENOUGH))
        .await
        .unwrap();
    assert_eq!(left(&admin).await, (0, 0, 0));
}
