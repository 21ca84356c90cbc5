//! Keys as a query parameter: only where that is switched on, only of scope read, and nowhere to be
//! seen.

use shared::access::Scope;
use shared::market::{Quote, Timestamp};
use shared::price_event::PriceEvent;
use shared::repository::ingest::Ingest;
use sqlx::PgPool;
use uuid::Uuid;

use crate::guarded::{Guarded, Through};

#[tokio::test]
async fn a_key_in_the_query_counts_only_where_that_is_switched_on() {
    let off = Guarded::start().await;
    let on = Guarded::with_keys_in_query(off.pool.clone());
    let key = off.key(Scope::Read).await.expose();

    for path in [
        format!("/symbols?key={key}"),
        format!("/symbols?limit=3&key={key}&_=17"),
        format!("/prices/poll?key={key}"),
    ] {
        let refused = off.get(Through::Aws, &path, None).await;
        refused.assert_problem(401, "api-key-required");
        assert!(!refused.body.contains(&key));

        let answered = on.get(Through::Aws, &path, None).await;
        assert_eq!(answered.status, 200, "{path} {answered:?}");
    }
}

#[tokio::test]
async fn only_a_key_of_scope_read_is_accepted_in_the_query() {
    let on = Guarded::with_keys_in_query(e2e::postgres::database().await.unwrap());

    for scope in [Scope::Write, Scope::Admin] {
        let key = on.key(scope).await.expose();
        let path = format!("/symbols?key={key}");
        let answered = on.get(Through::Aws, &path, None).await;

        answered.assert_problem(403, "wrong-scope");
        let detail = answered.json()["detail"].as_str().unwrap().to_owned();
        assert!(
            detail.contains(scope.as_str()) && !detail.contains(&key),
            "{detail}"
        );
    }

    let read = on.key(Scope::Read).await.expose();
    let path = format!("/prices/poll?key={read}");
    let answered = on.send(Through::Aws, "POST", &path, &[]).await;
    answered.assert_problem(403, "wrong-scope");
}

#[tokio::test]
async fn no_link_cursor_or_problem_repeats_a_key_of_the_query() {
    let on = Guarded::with_keys_in_query(e2e::postgres::database().await.unwrap());
    let key = on.key(Scope::Read).await.expose();
    store(&on.pool, ["A", "B", "C"]).await;

    for path in [
        format!("/symbols?limit=1&key={key}"),
        format!("/symbols?key={key}&limit=0"),
        format!("/symbols?key={key}&unknown={}", "x".repeat(40)),
        format!("/prices/history?key={key}&symbol=NOPE"),
        format!("/nothing?key={key}"),
    ] {
        let answered = on.get(Through::Aws, &path, None).await;
        if path.contains("limit=1&") {
            let link = answered.header("link");
            assert!(link.starts_with("</symbols?limit=1&cursor="), "{link}");
        }
        let secret = &key[13..45];
        assert!(
            !format!("{answered:?}").contains(secret),
            "{path} {answered:?}"
        );
    }
}

/// Stores a point of each symbol.
async fn store(pool: &PgPool, symbols: [&str; 3]) {
    let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let events = symbols.map(|symbol| {
        let quote = Quote {
            symbol: symbol.parse().unwrap(),
            price: "1.5".parse().unwrap(),
            currency: None,
            timestamp: at,
        };
        PriceEvent::of_quote(quote, "replay".parse().unwrap(), at, Uuid::now_v7())
    });
    Ingest::new(pool.clone()).store(&events, &[]).await.unwrap();
}
