//! When a key was used last: written once a minute, and not waited for.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use shared::access::Scope;
use shared::market::Timestamp;
use shared::repository::api_keys;
use sqlx::PgPool;

use crate::guarded::{Guarded, Through};

async fn last_use(pool: &PgPool) -> Option<Timestamp> {
    let keys = api_keys::all(pool).await.unwrap();
    keys[0].last_used_at
}

#[tokio::test]
async fn a_use_is_noted_and_one_within_a_minute_of_it_is_not() {
    let api = Guarded::start().await;
    let key = api.key(Scope::Read).await;
    assert_eq!(last_use(&api.pool).await, None);

    assert_eq!(
        api.get(Through::Aws, "/symbols", Some(&key)).await.status,
        200
    );
    let deadline = Utc::now() + TimeDelta::seconds(20);
    let noted = loop {
        if let Some(noted) = last_use(&api.pool).await {
            break noted;
        }
        assert!(Utc::now() < deadline, "the use was not noted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };

    // Neither by the statement, nor by an instance that does not know of it yet.
    api_keys::note_use(&api.pool, key.id()).await.unwrap();
    assert_eq!(last_use(&api.pool).await, Some(noted));

    sqlx::query("update api_keys set last_used_at = now() - interval '61 seconds'")
        .execute(&api.pool)
        .await
        .unwrap();
    api_keys::note_use(&api.pool, key.id()).await.unwrap();
    assert!(last_use(&api.pool).await.unwrap() >= noted);
}

#[tokio::test]
async fn a_key_that_is_refused_is_not_noted_as_used() {
    let api = Guarded::start().await;
    let key = api.key(Scope::Read).await;
    api_keys::revoke(&api.pool, key.id()).await.unwrap();

    let refused = api.get(Through::Aws, "/symbols", Some(&key)).await;
    refused.assert_problem(401, "invalid-api-key");

    tokio::task::yield_now().await;
    assert_eq!(last_use(&api.pool).await, None);
}
