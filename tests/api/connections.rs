//! Connections whose session has changed or ended: the api drops them and continues with new ones.

use std::time::Duration;

use e2e::link::Link;
use e2e::waiting::until;
use shared::repository;
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgPool, PgPoolOptions};

use crate::fixture::{Api, event};

/// An API with one point, and a connection of an operator.
async fn start() -> (Api, PgPool) {
    let url = e2e::postgres::database_url().await.expect("a database");
    let api = Api::over(repository::connect(&url, 4).expect("a pool")).await;
    api.store(&[event("AAPL", "quoter", "1", 0)]).await;

    let admin = PgPoolOptions::new()
        .max_connections(1)
        .connect(&url)
        .await
        .expect("a connection");
    (api, admin)
}

async fn alter(admin: &PgPool, statement: &str) {
    let name: String = sqlx::query_scalar("select current_database()")
        .fetch_one(admin)
        .await
        .expect("a name");

    sqlx::raw_sql(AssertSqlSafe(statement.replace("{}", &name)))
        .execute(admin)
        .await
        .expect("altered");
}

async fn end_others(admin: &PgPool) {
    alter(
        admin,
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid()",
    )
    .await;
}

/// Waits until every path is answered with `status`. Each is requested several times, so that every
/// connection is used.
async fn until_all(api: &Api, status: u16, paths: &[&str]) {
    for path in paths.iter().cycle().take(paths.len() * 6) {
        let answered = async || (api.get(path).await.status == status).then_some(());

        until(
            &format!("answer {status} to {path}"),
            Duration::from_secs(10),
            answered,
        )
        .await;
    }
}

const READS: [&str; 3] = [
    "/prices/average?symbol=AAPL",
    "/prices/history?symbol=AAPL",
    "/symbols",
];

#[tokio::test]
async fn after_a_failover_to_a_reader_and_back_quotes_are_published_again() {
    let (api, admin) = start().await;
    until_all(&api, 200, &READS).await;

    alter(
        &admin,
        "alter database {} set default_transaction_read_only = on",
    )
    .await;
    end_others(&admin).await;

    // A quote is answered only after its raw response is written, which a reader refuses.
    until_all(&api, 503, &["/prices/latest?symbol=AAPL"]).await;

    until_all(&api, 200, &READS).await;

    alter(
        &admin,
        "alter database {} reset default_transaction_read_only",
    )
    .await;
    until_all(&api, 200, &["/prices/latest?symbol=AAPL"]).await;
}

#[tokio::test]
async fn a_plan_whose_columns_became_others_is_made_anew() {
    let (api, admin) = start().await;
    until_all(&api, 200, &READS).await;
    alter(
        &admin,
        "drop view if exists latest_prices, prices;
         alter table series alter column last_currency type varchar(40)",
    )
    .await;

    until_all(&api, 200, &READS).await;
}

#[tokio::test]
async fn a_search_path_that_was_wrong_for_a_while_is_forgotten() {
    let (api, admin) = start().await;

    alter(&admin, "alter database {} set search_path = nowhere").await;
    end_others(&admin).await;
    until_all(&api, 503, &READS).await;

    alter(&admin, "alter database {} reset search_path").await;
    until_all(&api, 200, &READS).await;
}

#[tokio::test]
async fn the_first_request_after_its_connections_fell_silent_is_answered() {
    let url = e2e::postgres::database_url().await.expect("a database");
    let link = Link::open(&url).await.expect("a link");
    let api = Api::over(repository::connect(link.url(), 4).expect("a pool")).await;
    api.store(&[event("AAPL", "quoter", "1", 0)]).await;

    for path in READS {
        assert_eq!(api.get(path).await.status, 200);
        link.silence();
        assert_eq!(api.get(path).await.status, 200, "{path}");
    }
}
