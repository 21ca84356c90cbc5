//! Functions invoked individually, and a stack whose functions run in another emulator.

use std::time::Duration;

use e2e::binaries::workspace;
use e2e::stack::{Options, Stack};
use e2e::waiting::until;
use serde_json::{Value, json};
use tokio::process::Command;

async fn start(data: &std::path::Path) -> Stack {
    Stack::start_in(data).await.unwrap()
}

#[tokio::test]
async fn every_example_event_is_answered_by_its_function() {
    let data = tempfile::tempdir().unwrap();
    let stack = start(data.path()).await;

    for (event, status) in [
        ("api-latest", 200),
        ("api-poll", 202),
        ("api-unknown-path", 404),
    ] {
        assert_eq!(
            stack.invoke("api", event).await["statusCode"],
            status,
            "{event}"
        );
    }

    assert_eq!(
        stack.invoke("poller", "poller-tick").await["ended"],
        "no_such_job"
    );

    let batch = stack.invoke("market-data-averager", "averager-batch").await;
    assert_eq!(
        (&batch["added"], &batch["rejected"]),
        (&Value::from(2), &Value::from(1))
    );
    let again = stack.invoke("averager", "averager-batch").await;
    assert_eq!(
        (&again["added"], &again["superseded"]),
        (&Value::from(0), &Value::from(2))
    );

    for event in ["upkeep-create", "upkeep-scheduled"] {
        assert!(
            stack.invoke("upkeep", event).await["migrated"].is_number(),
            "{event}"
        );
    }
}

/// What the script with boto3 prints of its invocations.
async fn said_by_boto3(invoke_url: &str) -> Value {
    let python = workspace().join("target/moto/bin/python");
    assert!(
        python.is_file(),
        "{} is missing; tools/moto/install installs it",
        python.display()
    );

    let mut program = Command::new(python);
    program
        .arg(workspace().join("tests/scenarios/invoke_with_boto3.py"))
        .arg(invoke_url);

    let output = program.output().await.unwrap();

    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
#[ignore = "needs boto3, which moto brings: tools/moto/install, then cargo test --test scenarios -- --ignored boto3"]
async fn boto3_invokes_functions_and_reads_their_errors_as_it_does_in_aws() {
    let data = tempfile::tempdir().unwrap();
    let stack = start(data.path()).await;
    let said = said_by_boto3(&stack.ready.invoke_url).await;

    let answer = &said["synchronous"];
    assert_eq!(
        (&answer["status"], &answer["function_error"]),
        (&json!(200), &Value::Null),
        "{said}"
    );
    assert_eq!(
        (&answer["version"], &answer["payload"]["statusCode"]),
        (&json!("$LATEST"), &json!(200))
    );

    let answer = &said["failed"];
    assert_eq!(
        (&answer["status"], &answer["function_error"]),
        (&json!(200), &json!("Unhandled")),
        "{said}"
    );
    assert_eq!(answer["payload"]["errorType"], "UnreadableEvent", "{said}");

    for (kind, status) in [("event", 202), ("dry_run", 204)] {
        assert_eq!(
            (&said[kind]["status"], &said[kind]["payload"]),
            (&json!(status), &Value::Null),
            "{said}"
        );
    }

    assert_eq!(
        said["unknown"]["Code"], "ResourceNotFoundException",
        "{said}"
    );
    let message = said["unknown"]["Message"].as_str().unwrap();
    assert!(message.ends_with(":function:no-such-function"), "{said}");

    // 202 means accepted, not done: the averager is invoked afterwards.
    let stored = "/prices/history?symbol=EXAMPLE&provider=example";
    let points = async || {
        stack.get(stored).await.1["items"]
            .as_array()
            .filter(|items| items.len() == 2)
            .cloned()
    };

    until(
        "both points of the asynchronous batch",
        Duration::from_secs(30),
        points,
    )
    .await;
}

#[tokio::test]
async fn an_emulator_takes_the_functions_of_another_one() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data.path().join("host")).await;
    let environment = [
        ("DATABASE_URL", host.ready.database_url.as_str()),
        (
            "KAFKA_BOOTSTRAP_SERVERS",
            &host.ready.kafka_bootstrap_servers,
        ),
    ];

    let flags = ["--functions", host.ready.invoke_url.as_str()];

    let options = Options {
        data_directory: data.path().join("other"),
        environment: &environment,
        flags: &flags,
    };
    let other = Stack::start(options).await.unwrap();

    assert_ne!(other.ready.url, host.ready.url);
    assert_eq!(other.get("/prices/latest?symbol=AAPL").await.0, 200);
    assert_eq!(other.get("/no/such/path").await.0, 404);
    assert_eq!(
        other.processes(),
        Vec::<u32>::new(),
        "it starts no functions of its own"
    );

    drop(host);
    assert_eq!(
        other.get("/prices/latest?symbol=AAPL").await.0,
        503,
        "a host that is gone is no function error"
    );
}
