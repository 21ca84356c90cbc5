//! What a part records about itself is read back, with ages by Postgres's own clock.

use chrono::TimeDelta;
use shared::repository::part_states::{self, Part};

#[tokio::test]
async fn a_part_s_last_success_and_last_failure_are_kept_beside_each_other() {
    let pool = e2e::postgres::database().await.unwrap();
    let never = part_states::get(&pool, Part::Upkeep).await.unwrap();
    assert_eq!(
        (never.since_success(), never.since_failure(), never.error),
        (None, None, None)
    );

    part_states::failed(&pool, Part::Upkeep, "topics: away\0")
        .await
        .unwrap();
    part_states::succeeded(&pool, Part::Upkeep).await.unwrap();

    let state = part_states::get(&pool, Part::Upkeep).await.unwrap();
    let soon = TimeDelta::seconds(0)..TimeDelta::seconds(60);
    assert!(soon.contains(&state.since_success().unwrap()), "{state:?}");
    assert!(soon.contains(&state.since_failure().unwrap()), "{state:?}");
    assert!(state.succeeded_at >= state.failed_at, "{state:?}");
    assert_eq!(state.error.as_deref(), Some("topics: away\u{fffd}"));

    assert_eq!(
        part_states::get(&pool, Part::Averager)
            .await
            .unwrap()
            .failed_at,
        None
    );

    part_states::failed(&pool, Part::Upkeep, &"x".repeat(5_000))
        .await
        .unwrap();
    let state = part_states::get(&pool, Part::Upkeep).await.unwrap();
    assert_eq!(
        state.error.map(|error| error.len()),
        Some(500),
        "an error is of bounded length"
    );
}
