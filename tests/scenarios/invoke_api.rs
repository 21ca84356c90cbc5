//! Functions invoked one by one, and a stack whose functions run in another emulator.

use e2e::stack::{Options, Stack};
use serde_json::Value;

async fn start(data: &std::path::Path) -> Stack {
    Stack::start(Options { data_directory: data.into(), ..Options::default() }).await.unwrap()
}

#[tokio::test]
async fn every_example_event_is_answered_by_its_function() {
    let data = tempfile::tempdir().unwrap();
    let stack = start(data.path()).await;
    for (event, status) in [("api-latest", 200), ("api-poll", 202), ("api-unknown-path", 404)] {
        assert_eq!(stack.invoke("api", event).await["statusCode"], status, "{event}");
    }
    assert_eq!(stack.invoke("poller", "poller-tick").await["ended"], "no_such_job");
    let batch = stack.invoke("market-data-averager", "averager-batch").await;
    assert_eq!((&batch["added"], &batch["rejected"]), (&Value::from(2), &Value::from(1)));
    let again = stack.invoke("averager", "averager-batch").await;
    assert_eq!((&again["added"], &again["superseded"]), (&Value::from(0), &Value::from(2)));
    for event in ["upkeep-create", "upkeep-scheduled"] {
        assert!(stack.invoke("upkeep", event).await["migrated"].is_number(), "{event}");
    }
}

#[tokio::test]
async fn an_emulator_takes_the_functions_of_another_one() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data.path().join("host")).await;
    let environment = [
        ("DATABASE_URL", host.ready.database_url.as_str()),
        ("KAFKA_BOOTSTRAP_SERVERS", &host.ready.kafka_bootstrap_servers),
    ];
    let flags = ["--functions", host.ready.invoke_url.as_str()];
    let options =
        Options { data_directory: data.path().join("other"), environment: &environment, flags: &flags };
    let other = Stack::start(options).await.unwrap();
    assert_ne!(other.ready.url, host.ready.url);
    assert_eq!(other.get("/prices/latest?symbol=AAPL").await.0, 200);
    assert_eq!(other.get("/no/such/path").await.0, 404);
    assert_eq!(other.processes(), Vec::<u32>::new(), "it starts no functions of its own");
    drop(host);
    assert_eq!(
        other.get("/prices/latest?symbol=AAPL").await.0,
        503,
        "a host that is gone is no function error"
    );
}
