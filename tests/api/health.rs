//! `/health` reports background work that is not done, without taking the api out of service for
//! it.

use chrono::{TimeDelta, Utc};
use serde_json::Value;
use shared::price_log::backlog::PartitionBacklog;
use shared::repository::part_states::{self, Part};

use crate::fixture::Api;

/// The body of `/health`, whose status must be 200.
async fn health(api: &Api) -> Value {
    let answered = api.get("/health").await;
    assert_eq!(answered.status, 200, "{}", answered.text);
    answered.json()
}

/// An API whose upkeep has just succeeded.
async fn kept_up() -> Api {
    let api = Api::start().await;
    part_states::succeeded(&api.pool, Part::Upkeep)
        .await
        .expect("a note");
    api
}

fn behind(partition: i32, records: i64, seconds: i64) -> PartitionBacklog {
    PartitionBacklog {
        partition,
        records,
        oldest: Some(Utc::now() - TimeDelta::seconds(seconds)),
    }
}

#[tokio::test]
async fn all_is_ok_while_records_wait_for_moments_only() {
    let api = kept_up().await;
    api.log.set_backlog(vec![behind(0, 0, 0), behind(1, 12, 3)]);

    let health = health(&api).await;
    assert_eq!(health["status"], "ok", "{health}");

    let partitions = &health["checks"]["averaging"]["partitions"];
    assert_eq!(
        (
            &partitions[0]["records_behind"],
            &partitions[1]["records_behind"]
        ),
        (&0.into(), &12.into())
    );
    assert!(
        (3..60).contains(&partitions[1]["seconds_behind"].as_i64().unwrap()),
        "{health}"
    );
}

#[tokio::test]
async fn a_partition_that_is_not_averaged_makes_it_degraded_with_the_last_error() {
    let api = kept_up().await;
    api.log
        .set_backlog(vec![behind(0, 1, 1), behind(3, 120, 95)]);
    part_states::failed(&api.pool, Part::Averager, "Postgres refused the statement")
        .await
        .unwrap();

    let health = health(&api).await;
    let averaging = &health["checks"]["averaging"];
    assert_eq!(
        (&health["status"], &averaging["status"]),
        (&"degraded".into(), &"degraded".into())
    );

    let detail = averaging["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("partition 3 is 120 records behind, the oldest 9"),
        "{detail}"
    );

    assert_eq!(
        averaging["last_error"]["error"],
        "Postgres refused the statement"
    );
    assert_eq!(health["checks"]["kafka"]["status"], "ok");
}

#[tokio::test]
async fn upkeep_that_has_not_succeeded_for_half_an_hour_makes_it_degraded() {
    let api = kept_up().await;
    part_states::failed(&api.pool, Part::Upkeep, "topics")
        .await
        .unwrap();

    assert_eq!(
        health(&api).await["status"],
        "ok",
        "one failure is none yet"
    );

    sqlx::query("update part_states set succeeded_at = succeeded_at - interval '31 minutes'")
        .execute(&api.pool)
        .await
        .unwrap();

    let late = health(&api).await;
    let upkeep = &late["checks"]["upkeep"];
    assert_eq!(
        (&late["status"], &upkeep["status"]),
        (&"degraded".into(), &"degraded".into())
    );

    let detail = upkeep["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("has not succeeded for 31 minutes") && detail.ends_with("topics"),
        "{detail}"
    );

    part_states::succeeded(&api.pool, Part::Upkeep)
        .await
        .unwrap();
    assert_eq!(health(&api).await["status"], "ok");
}

#[tokio::test]
async fn a_kafka_that_is_away_is_unavailable_and_says_nothing_of_averaging() {
    let api = kept_up().await;

    api.log.fail_next(10);

    let answered = api.get("/health").await;
    let health = answered.json();

    assert_eq!(
        (answered.status, &health["status"]),
        (503, &"unavailable".into())
    );

    assert_eq!(health["checks"]["averaging"]["status"], "degraded");
    assert_eq!(
        health["checks"]["averaging"]["partitions"],
        serde_json::json!([])
    );
}

#[tokio::test]
async fn a_job_whose_ticks_nobody_polls_makes_it_degraded_and_is_named() {
    let api = kept_up().await;

    let posted = api
        .send(
            "POST",
            "/prices/poll",
            r#"{"symbols":["AAPL"],"interval":60}"#.to_owned(),
        )
        .await;

    let job_id = posted.json()["job_id"].clone();
    assert_eq!(
        health(&api).await["checks"]["jobs"]["stalled"],
        0,
        "it is not due yet"
    );

    let past = "update polling_jobs set created_at = created_at - interval '1 day', start_at = start_at - interval '1 day'";
    sqlx::query(past).execute(&api.pool).await.unwrap();

    let health = health(&api).await;

    let jobs = &health["checks"]["jobs"];
    assert_eq!(
        (&health["status"], &jobs["status"]),
        (&"degraded".into(), &"degraded".into()),
        "{health}"
    );
    assert_eq!(
        (&jobs["stalled"], &jobs["job_ids"]),
        (&1.into(), &serde_json::json!([job_id]))
    );

    assert_eq!(jobs["detail"], "1 job is overdue, and not being polled");
}
