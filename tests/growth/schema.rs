//! The schema is brought up to date; if it already is, the migrator's lock is not waited for.

use std::time::Duration;

use shared::repository;
use shared::repository::schema::{self, MIGRATOR, SchemaError};
use sqlx::postgres::PgPool;
use tokio::time::timeout;

/// The number of advisory locks in this database. The key of the lock that sqlx's migrators take
/// follows from the database's name, but it is of this kind.
async fn advisory_locks(pool: &PgPool) -> i64 {
    let locks = "select count(*) from pg_locks where locktype = 'advisory'
                 and database = (select oid from pg_database where datname = current_database())";
    sqlx::query_scalar(locks).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn a_schema_that_is_current_takes_no_lock_and_waits_for_nobody_s() {
    let url = e2e::postgres::database_url().await.unwrap();
    let pool = repository::connect(&url, 2).unwrap();
    let newest = MIGRATOR
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap();

    // Another session holds the migrator's lock and never releases it.
    let mut holder = pool.acquire().await.unwrap();
    sqlx::migrate::Migrate::lock(&mut *holder).await.unwrap();
    assert_eq!(advisory_locks(&pool).await, 1);

    let version = timeout(Duration::from_secs(9), schema::migrate(&pool))
        .await
        .expect("no wait");
    assert_eq!(version.unwrap(), newest);
}

#[tokio::test]
async fn a_pending_migration_is_applied_and_leaves_no_lock_behind() {
    let pool = repository::connect(&e2e::postgres::empty_database_url().await.unwrap(), 2).unwrap();

    let version = schema::migrate(&pool).await.unwrap();

    assert_eq!(advisory_locks(&pool).await, 0);
    assert_eq!(
        schema::migrate(&pool).await.unwrap(),
        version,
        "a second run finds nothing to do"
    );
}

#[tokio::test]
async fn a_schema_that_lacks_any_of_our_migrations_is_not_complete() {
    let pool = e2e::postgres::database().await.unwrap();
    schema::check(&pool).await.unwrap();

    // A later version of the functions may have added another one.
    let later =
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                 values (9999, 'later', true, '', 0)";
    sqlx::query(later).execute(&pool).await.unwrap();
    schema::check(&pool).await.unwrap();

    for migration in MIGRATOR.iter() {
        let mut transaction = pool.begin().await.unwrap();
        sqlx::query("delete from _sqlx_migrations where version = $1")
            .bind(migration.version)
            .execute(&mut *transaction)
            .await
            .unwrap();

        let checked = schema::check(&mut *transaction).await;
        assert!(checked.is_err(), "without {}", migration.version);
    }
}

#[tokio::test]
async fn a_migrator_whose_lock_another_one_keeps_gives_up_in_time() {
    let pool = repository::connect(&e2e::postgres::empty_database_url().await.unwrap(), 2).unwrap();

    let mut holder = pool.acquire().await.unwrap();
    sqlx::migrate::Migrate::lock(&mut *holder).await.unwrap();

    let refused = timeout(Duration::from_secs(60), schema::migrate(&pool))
        .await
        .expect("an end");

    assert!(
        matches!(refused, Err(SchemaError::Failed(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_changed_migration_is_told_as_ever() {
    let pool = e2e::postgres::database().await.unwrap();
    sqlx::query("update _sqlx_migrations set checksum = '\\x00' where version = 1")
        .execute(&pool)
        .await
        .unwrap();

    let refused = schema::migrate(&pool).await.unwrap_err();

    assert!(
        matches!(
            refused,
            SchemaError::Failed(sqlx::migrate::MigrateError::VersionMismatch(1))
        ),
        "{refused:?}"
    );
}
