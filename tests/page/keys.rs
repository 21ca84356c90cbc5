//! An API that wants a key.

use std::process::Command;

use e2e::binaries;
use e2e::stack::Stack;
use serde_json::Value;

use crate::events::publish;
use crate::visitor::Visitor;

/// Makes a key that may read, by the emulator's command.
async fn reading_key(stack: &Stack) -> String {
    let mut command = Command::new(binaries::directory().unwrap().join("emulator"));
    command
        .args(["keys", "--data-dir"])
        .arg(&stack.ready.data_directory)
        .args(["create", "--name", "page", "--scope", "read"])
        .env_remove("CARGO")
        .env_remove("DATABASE_URL");

    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    made["key"].as_str().unwrap().to_owned()
}

#[tokio::test]
#[ignore = "needs tools/page/install"]
async fn a_page_that_needs_a_key_asks_for_it_and_keeps_it_for_the_tab_only() {
    let data = tempfile::tempdir().unwrap();
    let stack = Stack::start_in(data.path()).await.unwrap();
    let producer = stack.producer().unwrap();
    publish(&producer, "ACME", "1", "2024-03-20T10:30:00Z").await;
    let key = reading_key(&stack).await;

    Visitor::with("key-required.mjs", &stack, &[&key])
        .said()
        .await;
}
