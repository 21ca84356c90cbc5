//! Keys as a person makes them: the emulator's command on its own Postgres, and requests through
//! its listeners.

use std::process::Command;

use e2e::binaries;
use e2e::stack::{Options, Stack};
use serde_json::Value;

/// Runs `emulator keys` on the stack's data directory, as in a pipe.
async fn keys(stack: &Stack, arguments: &[&str]) -> Value {
    let mut command = Command::new(binaries::directory().unwrap().join("emulator"));
    command
        .args(["keys", "--data-dir"])
        .arg(&stack.ready.data_directory)
        .args(arguments)
        .env_remove("CARGO")
        .env_remove("DATABASE_URL");

    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_key_opens_a_stack_that_listens_on_the_network_and_closes_it_to_all_others() {
    let data = tempfile::tempdir().unwrap();
    let stack = Stack::start(Options {
        data_directory: data.path().to_owned(),
        flags: &["--listen", "0.0.0.0"],
        ..Options::default()
    })
    .await
    .unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/symbols", stack.ready.url);

    let refused = client.get(&url).send().await.unwrap();
    assert_eq!(refused.status().as_u16(), 401);
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["type"], "/docs#no-api-key-made");

    let create = ["create", "--name", "dashboard", "--scope", "read"];
    let key = keys(&stack, &create).await;
    let text = key["key"].as_str().unwrap().to_owned();
    let status = async |header: &str, value: &str| {
        let answer = client.get(&url).header(header, value).send().await.unwrap();
        answer.status().as_u16()
    };
    assert_eq!(
        status("authorization", &format!("Bearer {text}")).await,
        200
    );
    assert_eq!(status("X-Api-Key", &text).await, 200);
    assert_eq!(status("x-forwarded-for", "127.0.0.1").await, 401);

    // As a client can send it, and no gateway of AWS passes it on.
    let twice = client
        .get(&url)
        .header("x-api-key", &text)
        .header("x-api-key", &text);
    assert_eq!(twice.send().await.unwrap().status().as_u16(), 401);

    let id = key["id"].as_str().unwrap();
    keys(&stack, &["revoke", id]).await;
    let listed = keys(&stack, &["list"]).await;
    assert_eq!(listed["items"][0]["id"], id);
    assert!(listed["items"][0]["revoked_at"].is_string(), "{listed}");
    assert!(!listed.to_string().contains(&text), "{listed}");
}
