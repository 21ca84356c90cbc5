//! The emulator's output is not read: its pipe is full, as behind a pager or a terminal after
//! Ctrl-S.

use e2e::stack::{Options, Stack};
use nix::sys::signal::Signal;
use serde_json::Value;

#[tokio::test]
async fn a_stack_whose_output_nobody_reads_serves_invokes_schedules_and_stops() {
    let data = tempfile::tempdir().unwrap();
    // With `trace`, each part logs while it works.
    let environment = [("RUST_LOG", "trace")];
    let options = Options {
        data_directory: data.path().into(),
        environment: &environment,
        ..Options::default()
    };
    let stack = Stack::start_unread(options).await.unwrap();

    assert_eq!(stack.get("/health").await.0, 200);
    assert_eq!(stack.get("/prices/latest?symbol=AAPL").await.0, 200);
    assert_eq!(
        stack.invoke("poller", "poller-tick").await["ended"],
        "no_such_job"
    );

    let schedules = reqwest::get(format!("{}/schedules", stack.ready.scheduler_url))
        .await
        .unwrap();
    let schedules: Value = schedules.json().await.unwrap();
    assert_eq!(
        schedules["Schedules"][0]["Name"], "UpkeepRegularly",
        "{schedules}"
    );

    assert_eq!(stack.stop(Signal::SIGTERM).await, Some(0));
}
