//! The command `keys`: what it makes lets requests in, and is shown once.

use keys::Wanted;
use keys::report::Form;
use serde_json::Value;
use shared::access::{Key, Scope};

use crate::guarded::{Guarded, Through};

fn wanted(name: &str) -> Wanted {
    Wanted {
        name: name.parse().unwrap(),
        scope: Scope::Write,
        limits: "5/s".parse().unwrap(),
        expires_at: Some("2999-01-01T00:00:00Z".parse().unwrap()),
    }
}

async fn create(api: &Guarded, name: &str) -> Value {
    let told = keys::create(&api.pool, &wanted(name), Form::Json).await;
    serde_json::from_str(&told.unwrap()).unwrap()
}

#[tokio::test]
async fn a_key_is_shown_once_and_only_its_hash_is_stored() {
    let api = Guarded::start().await;
    let made = create(&api, "dashboard").await;
    let key: Key = made["key"].as_str().unwrap().parse().unwrap();

    assert_eq!(
        api.get(Through::Aws, "/symbols", Some(&key)).await.status,
        200
    );
    for (field, value) in [("name", "dashboard"), ("scope", "write"), ("rate", "5/s")] {
        assert_eq!(made[field], value);
    }

    let secret = &key.expose()[13..45];
    let stored: String = sqlx::query_scalar("select api_keys::text from api_keys")
        .fetch_one(&api.pool)
        .await
        .unwrap();
    assert!(!stored.contains(secret), "{stored}");
    for form in [Form::Text, Form::Json] {
        let listed = keys::list(&api.pool, form).await.unwrap();
        assert!(
            listed.contains("dashboard") && !listed.contains(secret),
            "{listed}"
        );
    }
}

#[tokio::test]
async fn a_key_is_revoked_by_its_id_or_by_a_name_that_is_its_alone() {
    let api = Guarded::start().await;
    let (first, second) = (create(&api, "ci").await, create(&api, "ci").await);
    let revoke = async |called: &str| keys::revoke(&api.pool, called, Form::Json).await;

    let error = revoke("ci").await.unwrap_err().to_string();
    for id in [&first["id"], &second["id"]] {
        assert!(error.contains(id.as_str().unwrap()), "{error}");
    }
    assert!(revoke("nobody").await.is_err());

    revoke(first["id"].as_str().unwrap()).await.unwrap();
    revoke("ci").await.unwrap();

    let fresh = Guarded::over(api.pool.clone());
    for made in [first, second] {
        let key: Key = made["key"].as_str().unwrap().parse().unwrap();
        fresh
            .get(Through::Aws, "/symbols", Some(&key))
            .await
            .assert_problem(401, "invalid-api-key");
    }
}

#[tokio::test]
async fn a_key_whose_end_has_passed_is_not_made() {
    let api = Guarded::start().await;
    let late = Wanted {
        expires_at: Some("2020-01-01T00:00:00Z".parse().unwrap()),
        ..wanted("late")
    };

    assert!(keys::create(&api.pool, &late, Form::Json).await.is_err());
    let listed = keys::list(&api.pool, Form::Json).await.unwrap();
    assert_eq!(listed, r#"{"items":[]}"#);
}

#[test]
fn the_hash_for_a_deployment_is_that_of_the_key_shown_with_it() {
    let name = "admin".parse().unwrap();
    let told = keys::first_key(&name, Scope::Admin, Form::Json).unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();

    let key: Key = told["key"].as_str().unwrap().parse().unwrap();
    let hash = told["first_admin_key"].as_str().unwrap();
    let first: shared::access::FirstKey = hash.parse().unwrap();
    assert_eq!(first.id, key.id());
    assert!(first.digest.is_of(&key));

    assert!(keys::first_key(&name, Scope::Read, Form::Json).is_err());
}
