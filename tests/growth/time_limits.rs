//! A run of upkeep ends even if one of its tasks hangs, and reports the tasks that found no time.

use std::time::Duration;

use serde_json::json;
use shared::repository::part_states::{self, Part};
use tokio::time::timeout;
use upkeep::time::Time;

use crate::runs::{broker, event_bridge, upkeep};

/// Much less than the statement would wait, and much more than the end of a run takes.
const SOON: Duration = Duration::from_secs(45);

#[tokio::test]
async fn a_run_whose_statement_is_never_answered_ends_in_time_and_names_what_was_not_done() {
    let pool = e2e::postgres::database().await.unwrap();
    let (broker, event_bridge) = (broker(), event_bridge().await);

    let mut holder = pool.begin().await.unwrap();
    sqlx::query("lock table polling_jobs in access exclusive mode")
        .execute(&mut *holder)
        .await
        .unwrap();

    let upkeep = upkeep(&pool, &broker, &event_bridge.uri());
    let event = json!({});
    let running = upkeep.handle(&event, Time::of(Duration::from_secs(6)));
    let error = timeout(SOON, running).await.expect("an end").unwrap_err();
    assert!(
        error
            .tasks()
            .starts_with("partitions and retention, relays, schedules"),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("partitions and retention: no time was left"),
        "{error}"
    );

    let noted = part_states::get(&pool, Part::Upkeep).await.unwrap();
    assert_eq!(noted.error, Some(error.tasks()));
    holder.rollback().await.unwrap();
}
