//! A long read that keeps a table locked is named. It makes no other session wait long, and delays
//! work on its table only.

use std::time::Duration;

use chrono::Utc;
use e2e::waiting::until;
use shared::config::Retention;
use shared::repository::{self, clock};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use upkeep::failure::Failures;
use upkeep::growth::{self, Trimmed};

const KEPT: Retention = Retention {
    points_days: None,
    raw_responses_days: 7,
    runs_days: 30,
    rejected_days: 90,
};
/// Much longer than a read is delayed by one attempt to lock the table.
const LONG: Duration = Duration::from_millis(900);

/// A session that reads the price points in a transaction and leaves it open.
async fn reader(url: &str) -> PgConnection {
    let options: PgConnectOptions = url.parse().unwrap();
    let mut reader = options
        .application_name("nightly-report")
        .connect()
        .await
        .unwrap();

    sqlx::raw_sql("begin; select count(*) from price_points")
        .execute(&mut reader)
        .await
        .unwrap();

    reader
}

/// The number of slow reads of the points until `stop` is cancelled.
async fn long_reads(pool: sqlx::PgPool, stop: CancellationToken) -> usize {
    let mut long = 0;
    while !stop.is_cancelled() {
        let start = Instant::now();
        sqlx::query("select 1 from price_points limit 1")
            .execute(&pool)
            .await
            .unwrap();

        long += usize::from(start.elapsed() > LONG);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    long
}

#[tokio::test]
async fn a_long_reader_is_named_while_reads_and_the_other_tasks_go_on() {
    let url = e2e::postgres::database_url().await.unwrap();
    let pool = repository::connect(&url, 4).unwrap();
    let mut reader = reader(&url).await;
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&mut reader)
        .await
        .unwrap();

    let stop = CancellationToken::new();
    let reads = tokio::spawn(long_reads(
        repository::connect(&url, 1).unwrap(),
        stop.clone(),
    ));

    let (mut trimmed, mut failures) = (Trimmed::default(), Failures::default());
    let now = clock::now(&pool).await.unwrap();
    growth::make_ahead(&pool, now, &mut trimmed, &mut failures).await;
    growth::trim(&pool, &KEPT, now, &mut trimmed, &mut failures).await;
    stop.cancel();

    let [failure] = &failures.0[..] else {
        panic!("{failures:?}")
    };
    assert_eq!(failure.task, "partitions of price_points");

    let named = format!(
        "price_points is in use by process {pid} (nightly-report, idle in transaction, in a "
    );
    assert!(failure.reason.starts_with(&named), "{failure}");
    assert!(
        !failure.reason.contains("select") && !failure.reason.contains("not available"),
        "{failure}"
    );

    assert_eq!(trimmed.partitions_made, 9, "those of the raw responses");

    // The lock is requested seven times. A read or two may be slow on a machine that is busy with
    // other work.
    let long = reads.await.unwrap();
    assert!(long < 4, "{long} reads were held up");

    reader.close().await.unwrap();
    let (mut trimmed, mut failures) = (Trimmed::default(), Failures::default());
    growth::make_ahead(&pool, now, &mut trimmed, &mut failures).await;
    assert_eq!(
        (trimmed.partitions_made, &failures.0[..]),
        (5, &[][..]),
        "the next run makes up for it"
    );
}

#[tokio::test]
async fn a_gap_between_two_readers_is_enough() {
    let url = e2e::postgres::database_url().await.unwrap();
    let pool = repository::connect(&url, 4).unwrap();
    let mut reader = reader(&url).await;

    let making = tokio::spawn({
        let pool = pool.clone();
        async move {
            let (mut trimmed, mut failures) = (Trimmed::default(), Failures::default());
            growth::make_ahead(&pool, Utc::now(), &mut trimmed, &mut failures).await;
            (trimmed.partitions_made, failures.0)
        }
    });

    // The task has waited for the reader once, and leaves the rest to its next run.
    for waits in [true, false] {
        until("try that fails", Duration::from_secs(20), async || {
            let waiting = "select exists (select from pg_locks
                                          where not granted and relation = 'price_points'::regclass)";
            let waiting: bool = sqlx::query_scalar(waiting).fetch_one(&pool).await.unwrap();
            (waiting == waits).then_some(())
        })
        .await;
    }

    sqlx::raw_sql("commit").execute(&mut reader).await.unwrap();
    assert_eq!(making.await.unwrap(), (14, Vec::new()));
}
