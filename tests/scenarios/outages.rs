//! Kafka or Postgres becomes unavailable and comes back, under a stack that is not restarted.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e::link::Link;
use e2e::stack::{Options, Stack};
use e2e::waiting::until;
use e2e::{binaries, postgres, processes};
use futures::future::join_all;
use rdkafka::mocking::MockCluster;
use serde_json::Value;

/// The promise is 5 s; the rest allows for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(8);
const RECOVERY: Duration = Duration::from_secs(60);
const READS: [&str; 5] = [
    "/prices/average?symbol=AAPL",
    "/prices/history?symbol=AAPL",
    "/prices/latest?symbol=AAPL&max_age=86400",
    "/symbols",
    "/prices/poll",
];

/// A stack in which AAPL has a point and a job polls IBM. Also returns the job's path.
async fn start(data: &Path, environment: &[(&str, &str)]) -> (Stack, String) {
    let environment = [environment, &[("REPLAY_STEP_SECONDS", "1")]].concat();
    let options = Options {
        data_directory: data.into(),
        environment: &environment,
        flags: &[],
    };

    let stack = Stack::start(options).await.unwrap();
    assert_eq!(stack.get("/prices/latest?symbol=AAPL").await.0, 200);
    let job = format!("/prices/poll/{}", stack.poll(&["IBM"], 1).await);

    for path in READS.into_iter().chain(["/prices/average?symbol=IBM"]) {
        until(path, RECOVERY, async || {
            (stack.get(path).await.0 == 200).then_some(())
        })
        .await;
    }

    (stack, job)
}

/// Asserts that the path is answered in time with a problem of this kind.
async fn assert_unavailable(stack: &Stack, path: &str, kind: &str) {
    let answered = tokio::time::timeout(PATIENCE, stack.get(path)).await;
    let (status, problem) = answered.unwrap_or_else(|_| panic!("{path} was not answered"));

    assert_eq!(
        (status, &problem["type"]),
        (503, &format!("/docs#{kind}").into()),
        "{path}: {problem}"
    );
    assert_eq!(problem["retry_after"], 5);
}

/// Asserts that health is 503, and that only this part is unavailable.
async fn assert_unhealthy(stack: &Stack, part: &str) {
    let (status, health) = tokio::time::timeout(PATIENCE, stack.get("/health"))
        .await
        .unwrap();

    assert_eq!(
        (status, &health["status"]),
        (503, &"unavailable".into()),
        "{health}"
    );

    for checked in ["postgres", "kafka"] {
        assert_eq!(
            health["checks"][checked]["status"] == "ok",
            checked != part,
            "{health}"
        );
    }
}

/// The times of IBM's newest point and of the job's last successful run.
async fn progress(stack: &Stack, job: &str) -> Option<(String, String)> {
    let (_, average) = stack.get("/prices/average?symbol=IBM").await;
    let (_, state) = stack.get(job).await;
    let run = Some(&state["last_run"]).filter(|run| run["status"] == "succeeded")?;

    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some((text(&average["timestamp"])?, text(&run["tick_time"])?))
}

/// Waits until everything works again and the job has polled a price that became a point since
/// `before`.
async fn assert_recovers(stack: &Stack, job: &str, before: &(String, String), api: u32) {
    for path in READS.into_iter().chain([
        "/health",
        "/prices/latest?symbol=MSFT",
        "/prices/average?symbol=MSFT",
    ]) {
        until(path, RECOVERY, async || {
            (stack.get(path).await.0 == 200).then_some(())
        })
        .await;
    }

    until("later point and run of the job", RECOVERY, async || {
        let now = progress(stack, job).await?;
        (now.0 > before.0 && now.1 > before.1).then_some(())
    })
    .await;

    assert!(processes::is_running(api), "the api was not restarted");
}

/// Publishes events as a foreign producer, each acknowledged.
async fn produce(stack: &Stack, count: u32) {
    let producer = stack.producer().unwrap();
    for number in 0..count {
        let event = format!(
            r#"{{"symbol":"ACME","price":{}.5,"timestamp":"2024-03-20T10:{:02}:{:02}Z","source":"made"}}"#,
            number + 1,
            number / 60,
            number % 60
        );
        producer.send("ACME", event.as_bytes()).await.unwrap();
    }
}

async fn assert_points(stack: &Stack, count: usize) {
    until("point of every event", RECOVERY, async || {
        let (_, history) = stack
            .get("/prices/history?symbol=ACME&provider=made&limit=1000")
            .await;
        (history["items"].as_array()?.len() == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn with_kafka_away_stored_prices_are_read_and_everything_goes_on_when_it_is_back() {
    let kafka = MockCluster::new(1).unwrap();
    kafka.create_topic("price-events", 6, 1).unwrap();
    kafka.create_topic("price-events.dlt", 1, 1).unwrap();

    let data = tempfile::tempdir().unwrap();
    let servers = kafka.bootstrap_servers();
    let (stack, job) = start(
        data.path(),
        &[("KAFKA_BOOTSTRAP_SERVERS", servers.as_str())],
    )
    .await;

    let api = stack.instance("api").await;

    kafka.broker_down(1).unwrap();
    assert_unavailable(&stack, "/prices/latest?symbol=MSFT", "kafka-unavailable").await;
    for path in READS {
        assert_eq!(stack.get(path).await.0, 200, "{path}");
    }
    assert_unavailable(
        &stack,
        "/prices/latest?symbol=AAPL&max_age=0",
        "kafka-unavailable",
    )
    .await;
    assert_unhealthy(&stack, "kafka").await;

    let error = until("failed run", RECOVERY, async || {
        let (_, state) = stack.get(&job).await;
        (state["last_run"]["status"] == "failed").then(|| state["last_run"]["error"].to_string())
    })
    .await;
    assert!(error.contains("Kafka"), "{error}");

    let (_, average) = stack.get("/prices/average?symbol=IBM").await;
    let (_, state) = stack.get(&job).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let before = (
        text(&average["timestamp"]),
        text(&state["last_run"]["tick_time"]),
    );

    kafka.broker_up(1).unwrap();
    assert_recovers(&stack, &job, &before, api).await;
}

/// The emulator's Postgres, started alone.
struct Postgres {
    child: Child,
    url: String,
}

impl Postgres {
    /// Starts it. A second start on the same data uses the same port.
    async fn start(data: &Path) -> Self {
        let mut command = Command::new(binaries::directory().unwrap().join("emulator"));
        command
            .args([
                "postgres",
                "--until-stdin-closes",
                "--show-passwords",
                "--output",
                "json",
                "--data-dir",
            ])
            .arg(data);

        command.stdin(Stdio::piped()).stdout(Stdio::piped());

        let started = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();

            let stdout = std::io::BufReader::new(child.stdout.take().unwrap());
            let mut lines = std::io::BufRead::lines(stdout).map(|line| line.unwrap());
            let ready = lines
                .by_ref()
                .map(|line| serde_json::from_str::<Value>(&line).unwrap())
                .find(|event| event["event"] == "ready");

            // Later lines are read, because a full pipe would block the child.
            std::thread::spawn(move || lines.for_each(drop));

            Self {
                child,
                url: ready.unwrap()["database_url"].as_str().unwrap().to_owned(),
            }
        });

        started.await.unwrap()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ended = self.child.wait();
    }
}

/// What must hold while Postgres is unavailable, for any reason. Kafka acknowledges events
/// meanwhile.
async fn assert_works_without_postgres(stack: &Stack, job: &str) {
    // Concurrently, since each may wait for seconds.
    let paths = READS.into_iter().chain([job, "/prices/latest?symbol=MSFT"]);
    join_all(paths.map(|path| assert_unavailable(stack, path, "database-unavailable"))).await;

    assert_unhealthy(stack, "postgres").await;
    produce(stack, 200).await;
}

#[tokio::test]
async fn a_postgres_that_is_stopped_costs_no_event_and_is_used_again_when_it_is_back() {
    let (data, of_postgres) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let postgres = Postgres::start(of_postgres.path()).await;
    let url = postgres.url.clone();

    let (stack, job) = start(data.path(), &[("DATABASE_URL", url.as_str())]).await;
    let api = stack.instance("api").await;
    let before = until("run", RECOVERY, async || progress(&stack, &job).await).await;

    drop(postgres);
    assert_works_without_postgres(&stack, &job).await;

    let postgres = Postgres::start(of_postgres.path()).await;
    assert_eq!(postgres.url, url);

    assert_points(&stack, 200).await;
    assert_recovers(&stack, &job, &before, api).await;
}

#[tokio::test]
async fn a_postgres_that_does_not_answer_costs_no_event_and_is_used_again_when_it_does() {
    let link = Link::open(&postgres::empty_database_url().await.unwrap())
        .await
        .unwrap();

    let data = tempfile::tempdir().unwrap();
    let (stack, job) = start(data.path(), &[("DATABASE_URL", link.url())]).await;
    let api = stack.instance("api").await;
    let before = until("run", RECOVERY, async || progress(&stack, &job).await).await;

    link.stall();
    assert_works_without_postgres(&stack, &job).await;
    link.go_on();

    assert_points(&stack, 200).await;
    assert_recovers(&stack, &job, &before, api).await;
}
