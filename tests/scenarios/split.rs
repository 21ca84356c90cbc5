//! Emulators that divide the functions among themselves.

use std::path::Path;
use std::time::Duration;

use e2e::faults::broker::Broker;
use e2e::stack::{Options, Stack};
use e2e::waiting::until;
use nix::sys::signal::Signal;

use crate::restart::{assert_exact, produce};

const REST: [&str; 2] = ["--only", "api,poller,upkeep"];
const AVERAGER: [&str; 2] = ["--only", "averager"];

async fn start(data: &Path, environment: &[(&str, &str)], flags: &[&str]) -> Stack {
    Stack::start(Options {
        data_directory: data.into(),
        environment,
        flags,
    })
    .await
    .unwrap()
}

#[tokio::test]
#[ignore = "needs a real Kafka, so Java and Maven: TEST_BROKER=kafka cargo test --test scenarios -- --include-ignored"]
async fn averagers_in_emulators_of_their_own_start_first_and_are_stopped_and_killed_and_lose_nothing()
 {
    let broker = Broker::start().unwrap();
    let database = e2e::postgres::empty_database_url().await.unwrap();
    let environment = [
        ("DATABASE_URL", database.as_str()),
        ("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers()),
        ("REPLAY_STEP_SECONDS", "1"),
    ];

    let data = tempfile::tempdir().unwrap();
    let (rest, first, second) = (
        data.path().join("rest"),
        data.path().join("first"),
        data.path().join("second"),
    );

    // An averager waits for the schema and the topics, which upkeep creates.
    let (averager, main) = tokio::join!(
        start(&first, &environment, &AVERAGER),
        start(&rest, &environment, &REST)
    );

    assert!(averager.ready.url.is_empty() && averager.ready.scheduler_url.is_empty());

    let other = start(&second, &environment, &AVERAGER).await;
    let job = main.poll(&["AAPL", "IBM"], 1).await;

    produce(&main, 1..1_001).await;

    assert_eq!(averager.stop(Signal::SIGTERM).await, Some(0));
    produce(&main, 1_001..2_001).await;
    assert_eq!(other.stop(Signal::SIGKILL).await, None);
    let averager = start(&first, &environment, &AVERAGER).await;
    assert_exact(&main, 2_000).await;

    assert_eq!(main.stop(Signal::SIGTERM).await, Some(0));
    produce(&averager, 2_001..2_101).await;
    assert_exact(&averager, 2_100).await;

    let main = start(&rest, &environment, &REST).await;
    let ticks =
        async || main.get(&format!("/prices/poll/{job}")).await.1["last_run"]["tick_time"].clone();

    let before = ticks().await;

    until(
        "tick after the restart",
        Duration::from_secs(60),
        async || (ticks().await != before).then_some(()),
    )
    .await;
}

#[tokio::test]
#[ignore = "needs a real Kafka, so Java and Maven: TEST_BROKER=kafka cargo test --test scenarios -- --include-ignored"]
async fn a_job_made_in_one_emulator_is_polled_in_another_and_averaged_in_a_third() {
    let broker = Broker::start().unwrap();
    let database = e2e::postgres::empty_database_url().await.unwrap();

    let data = tempfile::tempdir().unwrap();
    let shared = [
        ("DATABASE_URL", database.as_str()),
        ("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers()),
        ("REPLAY_STEP_SECONDS", "1"),
    ];

    let poller = start(
        &data.path().join("poller"),
        &shared,
        &["--only", "poller", "--only", "upkeep"],
    )
    .await;

    let scheduler = poller.ready.scheduler_url.clone();
    let with_scheduler = [
        &shared[..],
        &[("AWS_ENDPOINT_URL_SCHEDULER", scheduler.as_str())],
    ]
    .concat();

    let api = start(
        &data.path().join("api"),
        &with_scheduler,
        &["--only", "api"],
    )
    .await;

    let _averager = start(&data.path().join("averager"), &shared, &AVERAGER).await;
    assert!(poller.ready.url.is_empty() && api.ready.scheduler_url.is_empty());

    let job = api.poll(&["AAPL"], 1).await;
    until(
        "average of five points",
        Duration::from_secs(60),
        async || {
            let (_, average) = api.get("/prices/average?symbol=AAPL&provider=replay").await;
            (average["points"] == 5).then_some(())
        },
    )
    .await;

    let path = format!("/prices/poll/{job}");
    assert_eq!(
        api.request(reqwest::Method::DELETE, &path, None).await.0,
        204
    );

    // Prices are read without the scheduler; creating a job fails without it.
    assert_eq!(poller.stop(Signal::SIGTERM).await, Some(0));
    assert_eq!(api.stop(Signal::SIGTERM).await, Some(0));

    let api = start(
        &data.path().join("api"),
        &with_scheduler,
        &["--only", "api"],
    )
    .await;

    assert_eq!(api.get("/prices/latest?symbol=AAPL").await.0, 200);

    let body = serde_json::json!({"symbols": ["AAPL"], "provider": "replay"});
    assert_eq!(
        api.request(reqwest::Method::POST, "/prices/poll", Some(&body))
            .await
            .0,
        503
    );
}

#[tokio::test]
async fn what_cannot_be_shared_out_so_is_refused_in_one_line_with_exit_status_2() {
    let shared = [
        ("DATABASE_URL", "postgres://me@127.0.0.1:1/prices"),
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1"),
    ];

    for (environment, flags, said) in [
        (
            &shared[..],
            &["--only", "avrager"][..],
            "no function 'avrager'",
        ),
        (
            &[],
            &AVERAGER,
            "set DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS",
        ),
        (
            &shared,
            &["--only", "api"],
            "set AWS_ENDPOINT_URL_SCHEDULER",
        ),
        (
            &shared,
            &["--only", "api", "--only", "poller"],
            "run together",
        ),
        (
            &[],
            &["--functions", "127.0.0.1:9000"],
            "must be an address such as http://",
        ),
        (&[], &["--scheduler-listen", "8081"], "--scheduler-listen"),
    ] {
        let data = tempfile::tempdir().unwrap();
        let options = Options {
            data_directory: data.path().into(),
            environment,
            flags,
        };

        let (status, stderr) = Stack::refusal(options).await.unwrap();
        assert_eq!(status, Some(2), "{flags:?}: {stderr}");
        assert!(
            stderr.lines().count() == 1 && stderr.contains(said),
            "{flags:?}: {stderr}"
        );
    }
}
