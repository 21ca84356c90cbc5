//! Stopping, killing and restarting a stack.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use e2e::processes;
use e2e::stack::{Options, Stack};
use e2e::waiting::until;
use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::PgPool;

const ENVIRONMENT: [(&str, &str); 1] = [("REPLAY_STEP_SECONDS", "1")];

async fn start(data: &Path) -> Stack {
    start_with(data, &[]).await
}

async fn start_with(data: &Path, flags: &[&str]) -> Stack {
    let options = Options {
        data_directory: data.into(),
        environment: &ENVIRONMENT,
        flags,
    };
    Stack::start(options).await.unwrap()
}

async fn points(stack: &Stack) -> i64 {
    let database = stack.database().unwrap();
    sqlx::query_scalar("select count(*) from price_points")
        .fetch_one(&database)
        .await
        .unwrap()
}

/// Waits until the job has polled a tick after `than`, and returns that tick's time.
async fn tick_after(stack: &Stack, job: &str, than: Option<&Value>) -> Value {
    until("newer tick", Duration::from_secs(30), async || {
        let (_, state) = stack.get(&format!("/prices/poll/{job}")).await;
        let run = &state["last_run"];
        let newer = than.is_none_or(|than| run["tick_time"].as_str() > than.as_str());

        (newer && run["status"] == "succeeded").then(|| run["tick_time"].clone())
    })
    .await
}

#[tokio::test]
async fn prices_jobs_and_schedules_survive_a_stop_which_leaves_no_process_behind() {
    let data = tempfile::tempdir().unwrap();
    let stack = start(data.path()).await;
    let job = stack.poll(&["AAPL", "IBM"], 1).await;
    let tick = tick_after(&stack, &job, None).await;

    until("point", Duration::from_secs(10), async || {
        (points(&stack).await > 0).then_some(())
    })
    .await;

    let before = points(&stack).await;
    let pids = stack.processes();
    assert!(
        pids.len() >= 4,
        "Postgres, api, poller and averager run: {pids:?}"
    );

    assert_eq!(stack.stop(Signal::SIGTERM).await, Some(0));
    let left: Vec<_> = pids
        .into_iter()
        .filter(|pid| processes::is_running(*pid))
        .collect();
    assert_eq!(left, Vec::<u32>::new(), "processes left behind");

    let stack = start(data.path()).await;
    assert!(points(&stack).await >= before);
    tick_after(&stack, &job, Some(&tick)).await;
}

#[tokio::test]
async fn after_kill_9_of_the_emulator_the_next_start_works_at_once_and_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let stack = start(data.path()).await;
    let job = stack.poll(&["MSFT"], 1).await;
    let tick = tick_after(&stack, &job, None).await;

    until("point", Duration::from_secs(10), async || {
        (points(&stack).await > 0).then_some(())
    })
    .await;

    let before = points(&stack).await;

    assert_eq!(stack.stop(Signal::SIGKILL).await, None);
    let orphans = processes::all(data.path());

    let stack = start(data.path()).await;
    tick_after(&stack, &job, Some(&tick)).await;
    assert!(points(&stack).await >= before);

    let running = stack.processes();
    let taken_over = stack.postgres().await;
    for orphan in orphans.into_iter().filter(|pid| *pid != taken_over) {
        assert!(
            !processes::is_running(orphan),
            "{orphan} of the killed stack still runs beside {running:?}"
        );
    }

    let doubled: i64 = sqlx::query_scalar(
        "select count(*) from (select from price_points group by series_id, quoted_at having count(*) > 1) d",
    )
    .fetch_one(&stack.database().unwrap())
    .await
    .unwrap();

    assert_eq!(doubled, 0);
}

/// Publishes events of seven series, one after the other is acknowledged, each of another second.
pub(crate) async fn produce(stack: &Stack, numbers: Range<u32>) {
    let producer = stack.producer().unwrap();
    for number in numbers {
        let symbol = format!("S{}", number % 7);
        let (hour, minute, second) = (number / 3_600, number / 60 % 60, number % 60);
        let event = format!(
            r#"{{"symbol":"{symbol}","price":{number}.25,"timestamp":"2024-03-20T{hour:02}:{minute:02}:{second:02}Z","source":"made"}}"#
        );
        producer.send(&symbol, event.as_bytes()).await.unwrap();
    }
}

/// The number of points that come from [`produce`].
async fn made_points(database: &PgPool) -> Option<i64> {
    let counted =
        "select count(*) from price_points join series using (series_id) where provider = 'made'";
    sqlx::query_scalar(counted).fetch_one(database).await.ok()
}

/// Waits until exactly this number of published events are points, and checks the averages of five
/// points.
pub(crate) async fn assert_exact(stack: &Stack, events: u32) {
    let database = stack.database().unwrap();
    until("every event", Duration::from_secs(60), async || {
        (made_points(&database).await? == i64::from(events)).then_some(())
    })
    .await;

    let wrong: i64 = sqlx::query_scalar(
        "select count(*) from (
             select moving_average, points, sum(price) over w as total, count(*) over w as counted
             from price_points window w as (partition by series_id order by quoted_at rows 4 preceding)) p
         where points <> counted or (counted = 5 and moving_average <> total * 0.2)",
    )
    .fetch_one(&database)
    .await
    .unwrap();

    assert_eq!(wrong, 0);
}

#[tokio::test]
async fn killing_the_averager_again_and_again_loses_and_doubles_nothing() {
    let data = tempfile::tempdir().unwrap();
    kill_averagers(&start(data.path()).await).await;
}

#[tokio::test]
async fn killing_the_averager_loses_and_doubles_nothing_on_a_postgres_of_the_users_own() {
    let url = e2e::postgres::empty_database_url().await.unwrap();
    let data = tempfile::tempdir().unwrap();
    let environment = [("DATABASE_URL", url.as_str())];
    let options = Options {
        data_directory: data.path().into(),
        environment: &environment,
        flags: &[],
    };

    kill_averagers(&Stack::start(options).await.unwrap()).await;
}

async fn kill_averagers(stack: &Stack) {
    let kill = async {
        // Each kill ends another averager that has started its work.
        for _ in 0..5 {
            let averager = stack.instance("averager").await;
            processes::kill_9(averager);
            until("end of it", Duration::from_secs(5), async || {
                (!processes::is_running(averager)).then_some(())
            })
            .await;
        }
    };

    tokio::join!(produce(stack, 1..3_001), kill);
    assert_exact(stack, 3_000).await;
}

#[tokio::test]
#[ignore = "needs a durable broker, so Java and Maven: TEST_BROKER=kafka cargo test --test scenarios -- --include-ignored"]
async fn after_kill_9_of_everything_at_once_what_kafka_acknowledged_becomes_points_once() {
    let data = tempfile::tempdir().unwrap();
    let stack = start_with(data.path(), &["--broker", "kafka"]).await;
    produce(&stack, 1..1_001).await;
    assert_exact(&stack, 1_000).await;

    // The averagers wait for their fences while more events are acknowledged.
    let mut holder = stack.database().unwrap().begin().await.unwrap();
    sqlx::query("lock table ingest_fences in exclusive mode")
        .execute(&mut *holder)
        .await
        .unwrap();

    produce(&stack, 1_001..2_001).await;
    assert_eq!(made_points(&stack.database().unwrap()).await, Some(1_000));

    let everything = stack.processes();
    assert!(
        processes::kafka(data.path()).is_some_and(|kafka| everything.contains(&kafka)),
        "{everything:?}"
    );
    everything.into_iter().for_each(processes::kill_9);
    assert_eq!(stack.stop(Signal::SIGKILL).await, None);

    let stack = start_with(data.path(), &["--broker", "kafka"]).await;
    assert_exact(&stack, 2_000).await;
    produce(&stack, 2_001..2_101).await;
    assert_exact(&stack, 2_100).await;
}

#[tokio::test]
async fn functions_and_postgres_that_die_are_started_again() {
    let data = tempfile::tempdir().unwrap();
    let stack = start(data.path()).await;
    assert_eq!(stack.get("/prices/latest?symbol=AAPL").await.0, 200);

    processes::kill_9(stack.instance("api").await);
    assert_eq!(
        stack.get("/health").await.0,
        200,
        "another instance answers"
    );

    let postgres = stack.postgres().await;
    processes::kill_9(postgres);
    until(
        "answer from a new Postgres",
        Duration::from_secs(30),
        async || {
            let (status, answer) = stack.get("/prices/latest?symbol=AAPL").await;
            assert!(matches!(status, 200 | 503), "{status} {answer}");
            (status == 200 && stack.postgres().await != postgres).then_some(())
        },
    )
    .await;
}
