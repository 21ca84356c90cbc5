//! Postgres is unavailable, does not answer, or has no schema yet.

use std::time::Duration;

use e2e::link::Link;
use e2e::waiting::until;
use shared::repository::{self, schema};

use crate::fixture::{Api, event};

/// Every request that needs Postgres.
const REQUESTS: [(&str, &str); 9] = [
    ("GET", "/prices/latest?symbol=AAPL&max_age=600"),
    ("GET", "/prices/latest?symbols=AAPL,IBM"),
    ("GET", "/prices/average?symbol=AAPL"),
    ("GET", "/prices/history?symbol=AAPL"),
    ("GET", "/symbols"),
    ("GET", "/prices/poll"),
    ("GET", "/prices/poll/6f9619ff-8b86-4d01-b42d-00cf4fc964ff"),
    (
        "DELETE",
        "/prices/poll/6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
    ),
    ("POST", "/prices/poll"),
];
/// The promise is 5 s; the rest allows for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(7);

/// Sends all requests concurrently, since each may wait for seconds. Asserts that each is answered
/// with a 503 that says when to try again.
async fn assert_all_away(api: &Api) {
    let answers = REQUESTS.map(|(method, path)| async move {
        let body = if method == "POST" {
            r#"{"symbols":["AAPL"]}"#
        } else {
            ""
        };

        let answered =
            tokio::time::timeout(PATIENCE, api.send(method, path, body.to_owned())).await;
        answered
            .unwrap_or_else(|_| panic!("{method} {path} was not answered"))
            .assert_unavailable("database-unavailable");
    });

    futures::future::join_all(answers).await;

    assert!(
        api.quoter.asked().is_empty() && api.log.events().is_empty(),
        "no provider was asked for what cannot be stored"
    );

    let health = tokio::time::timeout(PATIENCE, api.get("/health"))
        .await
        .expect("an answer");

    assert_eq!(
        (
            health.status,
            &health.json()["checks"]["postgres"]["status"]
        ),
        (503, &"unavailable".into())
    );
}

/// An API with one point, behind a link to its database.
async fn linked() -> (Api, Link) {
    let url = e2e::postgres::database_url().await.expect("a database");
    let link = Link::open(&url).await.expect("a link");
    let api = Api::over(repository::connect(link.url(), 4).expect("a pool")).await;

    api.store(&[event("AAPL", "quoter", "1", 0)]).await;
    assert_eq!(api.get("/prices/average?symbol=AAPL").await.status, 200);
    (api, link)
}

async fn assert_recovers(api: &Api) {
    for path in [
        "/prices/average?symbol=AAPL",
        "/prices/latest?symbol=AAPL",
        "/prices/poll",
        "/health",
    ] {
        until(
            &format!("answer to {path}"),
            Duration::from_secs(10),
            async || (api.get(path).await.status == 200).then_some(()),
        )
        .await;
    }
}

#[tokio::test]
async fn without_its_schema_everything_that_needs_it_is_503() {
    let url = e2e::postgres::empty_database_url().await.unwrap();
    let api = Api::over(repository::connect(&url, 4).unwrap()).await;

    assert_all_away(&api).await;

    repository::MIGRATOR.run(&api.pool).await.unwrap();
    assert_eq!(
        api.get("/symbols").await.status,
        200,
        "upkeep has brought it"
    );
}

/// Otherwise an emulator of the api alone, started before the schema exists, would take its default
/// provider for unavailable during its whole run.
#[tokio::test]
async fn a_provider_that_was_checked_without_the_schema_is_checked_again_with_it() {
    let url = e2e::postgres::empty_database_url().await.unwrap();
    let api = Api::spelled(repository::connect(&url, 4).unwrap()).await;
    let quoter =
        async || api.get("/health").await.json()["checks"]["providers"]["quoter"]["status"].clone();
    assert_eq!(quoter().await, "degraded", "it may not be asked");
    assert!(api.quoter.asked().is_empty());

    repository::MIGRATOR.run(&api.pool).await.unwrap();
    assert_eq!(quoter().await, "ok");
}

/// A start in the middle of the first migrations must not take the schema for complete.
#[tokio::test]
async fn health_is_503_until_the_last_migration_is_applied() {
    let api = Api::start().await;
    let health = async || {
        let answered = api.get("/health").await;
        (
            answered.status,
            answered.json()["checks"]["postgres"]["status"].clone(),
        )
    };
    assert_eq!(health().await, (200, "ok".into()));

    sqlx::query(
        "delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)",
    )
    .execute(&api.pool)
    .await
    .unwrap();
    assert_eq!(health().await, (503, "unavailable".into()));

    // A later version of the functions may have migrated; its migration does not stand for ours.
    sqlx::query("update _sqlx_migrations set version = 1000 where version = (select max(version) from _sqlx_migrations)")
        .execute(&api.pool)
        .await
        .unwrap();
    assert_eq!(health().await, (503, "unavailable".into()));
}

#[tokio::test]
async fn a_postgres_that_is_gone_is_told_in_time_and_used_again_when_it_is_back() {
    let (api, mut link) = linked().await;

    link.cut().await;
    assert_all_away(&api).await;

    link.mend().await.unwrap();
    assert_recovers(&api).await;
}

#[tokio::test]
async fn a_postgres_that_does_not_answer_is_told_in_time_and_used_again_when_it_does() {
    let (api, link) = linked().await;

    link.stall();
    assert_all_away(&api).await;

    link.go_on();
    assert_recovers(&api).await;
}

#[tokio::test]
async fn a_connection_lost_midway_for_ever_gives_its_place_to_a_new_one() {
    let url = e2e::postgres::database_url().await.unwrap();
    let link = Link::open(&url).await.unwrap();
    let pool = repository::connect(link.url(), 1).unwrap();

    schema::check(&pool).await.unwrap();
    link.stall();

    // New connections bypass the link, so only the old one is silent.
    pool.set_connect_options(url.parse().unwrap());

    tokio::time::timeout(Duration::from_millis(200), schema::check(&pool))
        .await
        .unwrap_err();

    until("new connection", Duration::from_secs(20), async || {
        schema::check(&pool).await.ok()
    })
    .await;
}

#[tokio::test]
async fn an_answer_about_postgres_tells_no_cause() {
    let (api, mut link) = linked().await;

    link.cut().await;
    let answered = api.get("/symbols").await;
    let expected = "Postgres is not available; please try again later";

    assert_eq!(
        (answered.status, &answered.json()["detail"]),
        (503, &expected.into())
    );
}
