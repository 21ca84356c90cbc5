//! Which keys are valid, and that the answer to one that is not does not say why.

use chrono::{TimeDelta, Utc};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use shared::access::{FirstKey, Key, Scope};
use shared::repository::api_keys;

use crate::guarded::{Answered, Guarded, Through};

/// The answer without what differs between any two requests.
fn comparable(mut answered: Answered) -> Answered {
    answered.headers.remove("x-request-id");
    answered
}

#[tokio::test]
async fn an_invalid_key_is_answered_alike_whatever_is_wrong_with_it() {
    let api = Guarded::start().await;
    let (valid, revoked, expired) = (
        api.key(Scope::Admin).await,
        api.key(Scope::Admin).await,
        api.key(Scope::Admin).await,
    );
    api_keys::revoke(&api.pool, revoked.id()).await.unwrap();
    sqlx::query("update api_keys set expires_at = now() where id = $1")
        .bind(expired.id().as_str())
        .execute(&api.pool)
        .await
        .unwrap();

    // Another secret with the id of a valid key, and a checksum that is right.
    let unknown = Key::from_random(0..=255).unwrap();
    let (id, secret) = (valid.id(), &unknown.expose()[13..45]);
    let foreign_secret = with_checksum(&format!("mdp_{id}_{secret}"));
    assert!(foreign_secret.parse::<Key>().is_ok());

    let text = valid.expose();
    let answers = [
        revoked.expose(),
        expired.expose(),
        unknown.expose(),
        foreign_secret,
        "nonsense".to_owned(),
        text[..text.len() - 1].to_owned(),
        text.to_lowercase(),
    ];

    let mut first = None;
    for key in answers {
        for path in ["/symbols", "/prices/poll", "/nothing", "/health"] {
            let headers = [("authorization", format!("Bearer {key}"))];
            let headers = headers
                .each_ref()
                .map(|(name, value)| (*name, value.as_str()));
            let answered = comparable(api.send(Through::Aws, "GET", path, &headers).await);

            answered.assert_problem(401, "invalid-api-key");
            assert!(!answered.body.contains(&key), "{answered:?}");
            assert_eq!(
                first.get_or_insert_with(|| comparable_copy(&answered)),
                &answered
            );
        }
    }

    let headers = first.unwrap().headers;
    assert_eq!(
        headers["www-authenticate"],
        r#"Bearer realm="market data", error="invalid_token""#
    );
    assert_eq!(
        api.get(Through::Aws, "/symbols", Some(&valid)).await.status,
        200
    );
}

fn comparable_copy(answered: &Answered) -> Answered {
    Answered {
        status: answered.status,
        headers: answered.headers.clone(),
        body: answered.body.clone(),
    }
}

/// The text with the checksum that makes it a key, found by trying all that differ in few bits: the
/// key's own text tells the checksum of what is written.
fn with_checksum(body: &str) -> String {
    let (id, secret) = body[4..].split_once('_').unwrap();
    let alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let places = format!("{id}{secret}");
    let bytes = places
        .chars()
        .map(|character| u8::try_from(alphabet.find(character).unwrap()).unwrap());
    Key::from_random(bytes).unwrap().expose()
}

#[tokio::test]
async fn a_key_ends_at_its_time_in_an_instance_that_knows_it() {
    let api = Guarded::start().await;
    let key = api.key(Scope::Read).await;
    sqlx::query("update api_keys set expires_at = now() + interval '1 second'")
        .execute(&api.pool)
        .await
        .unwrap();
    assert_eq!(
        api.get(Through::Aws, "/symbols", Some(&key)).await.status,
        200
    );

    let deadline = Utc::now() + TimeDelta::seconds(9);
    while api.get(Through::Aws, "/symbols", Some(&key)).await.status == 200 {
        assert!(Utc::now() < deadline, "it outlived its end");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_revoked_key_lives_ten_seconds_at_most_in_an_instance_that_knows_it() {
    let api = Guarded::start().await;
    let key = api.key(Scope::Read).await;
    assert_eq!(
        api.get(Through::Aws, "/symbols", Some(&key)).await.status,
        200
    );

    api_keys::revoke(&api.pool, key.id()).await.unwrap();
    let another = Guarded::over(api.pool.clone());
    let answered = another.get(Through::Aws, "/symbols", Some(&key)).await;
    answered.assert_problem(401, "invalid-api-key");

    let deadline = Utc::now() + TimeDelta::seconds(15);
    while api.get(Through::Aws, "/symbols", Some(&key)).await.status == 200 {
        assert!(Utc::now() < deadline, "it lives on");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn the_first_key_of_a_deployment_is_stored_once_and_stays_revoked() {
    let api = Guarded::start().await;
    let key = Key::from_random(0..=255).unwrap();
    let first: FirstKey = FirstKey {
        id: key.id(),
        digest: key.digest(),
    };

    api_keys::add_first(&api.pool, &first).await.unwrap();
    let answered = api.get(Through::Aws, "/symbols", Some(&key)).await;
    assert_eq!(answered.status, 200);

    api_keys::revoke(&api.pool, key.id()).await.unwrap();
    api_keys::add_first(&api.pool, &first).await.unwrap();
    let another = Guarded::over(api.pool.clone());
    another
        .get(Through::Aws, "/symbols", Some(&key))
        .await
        .assert_problem(401, "invalid-api-key");
}

#[tokio::test]
async fn a_thousand_invented_keys_are_each_a_401_problem() {
    let api = Guarded::start().await;
    let valid = api.key(Scope::Read).await.expose();

    let texts = prop_oneof![
        "[ -~]{0,80}",
        "mdp_[1-9A-HJ-NP-Za-km-z]{8}_[1-9A-HJ-NP-Za-km-z]{38}",
        "(Bearer|Basic|bearer|Token)? ?mdp_[ -~]{0,60}",
        Just(valid.replace('_', "-")),
        (0..valid.len()).prop_map(move |at| valid[..at].to_owned()),
    ];
    let headers = prop_oneof![Just("authorization"), Just("x-api-key")];

    // The runner prints how to repeat a failure.
    let mut runner = TestRunner::default();
    for _ in 0..1_000 {
        let (name, text) = (headers.clone(), texts.clone())
            .new_tree(&mut runner)
            .unwrap()
            .current();

        let sent = [(name, text.as_str())];
        let answered = api.send(Through::Aws, "GET", "/symbols", &sent).await;
        answered.assert_problem(401, "invalid-api-key");
    }
}
