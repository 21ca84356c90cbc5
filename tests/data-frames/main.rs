//! pandas, polars and `DuckDB` read the history of a running stack by URL, by the lines of
//! docs/exports.md. `tools/data-frames/install` installs them.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot continue should fail at that line"
)]

use std::path::PathBuf;
use std::time::Duration;

use e2e::binaries::workspace;
use e2e::stack::Stack;
use e2e::waiting::until;
use serde_json::{Value, json};
use tokio::process::Command;

const WIDEST: &str = "99999999999.999999999999999";
/// Points of the series that is read.
const POINTS: usize = 300;
/// Longest that all readers together may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// Python with the readers.
fn python() -> PathBuf {
    let python = workspace().join("target/data-frames/bin/python");
    assert!(
        workspace().join("target/data-frames/version").exists(),
        "pandas, polars and DuckDB are not installed: run tools/data-frames/install, which needs the network once"
    );
    python
}

/// An event of `second`, whose price is the widest one for the last of them.
fn event(second: usize) -> Vec<u8> {
    let price = if second + 1 == POINTS {
        WIDEST.to_owned()
    } else {
        format!("{second}.7")
    };
    let (minute, second) = (second / 60, second % 60);
    let event = format!(
        r#"{{"symbol":"ACME","price":{price},"currency":"USD","timestamp":"2024-03-20T10:{minute:02}:{second:02}Z","source":"elsewhere"}}"#
    );
    event.into_bytes()
}

/// A running stack with the series.
async fn filled(directory: &std::path::Path) -> Stack {
    let stack = Stack::start_in(directory).await.unwrap();
    let producer = stack.producer().unwrap();
    for second in 0..POINTS {
        producer.send("ACME", &event(second)).await.unwrap();
    }

    let path = format!("/prices/history?symbol=ACME&limit={POINTS}");
    until("all points", Duration::from_secs(30), async || {
        let (_, history) = stack.get(&path).await;
        let items = history["items"].as_array()?;
        (items.len() == POINTS).then_some(())
    })
    .await;
    stack
}

/// What a script prints as JSON, when it is given the history's address.
async fn said(script: &str, stack: &Stack) -> Value {
    let script = workspace().join("tests/data-frames").join(script);
    let run = Command::new(python())
        .arg(script)
        .arg(format!("{}/prices/history", stack.ready.url))
        // A proxy of this machine must not be asked for loopback.
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1")
        .kill_on_drop(true)
        .output();

    let output = tokio::time::timeout(PATIENCE, run).await.unwrap().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
#[ignore = "needs tools/data-frames/install"]
async fn pandas_polars_and_duckdb_read_every_digit_by_url_in_one_line() {
    let _installed = python();
    let data = tempfile::tempdir().unwrap();
    let stack = filled(data.path()).await;

    let said = said("read.py", &stack).await;

    let exact = json!({"rows": POINTS, "widest": WIDEST});
    let readers = said.as_object().unwrap();
    assert!(readers.len() >= 9, "{said}");
    for (reader, result) in readers {
        assert_eq!(result, &exact, "{reader}");
    }
}

#[tokio::test]
#[ignore = "needs tools/data-frames/install"]
async fn readers_get_whole_files_while_points_arrive() {
    let _installed = python();
    let data = tempfile::tempdir().unwrap();
    let stack = filled(data.path()).await;

    let producer = stack.producer().unwrap();
    let arriving = tokio::spawn(async move {
        for number in 0.. {
            let time = format!(
                "2024-03-20T11:{:02}:{:02}.{:03}Z",
                number / 60_000,
                number / 1_000 % 60,
                number % 1_000
            );
            let event = format!(
                r#"{{"symbol":"ACME","price":1.5,"timestamp":"{time}","source":"elsewhere"}}"#
            );
            producer.send("ACME", event.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });

    let said = said("while_points_arrive.py", &stack).await;
    arriving.abort();

    // Each reader reads the same fixed URL again and again, and the open one too.
    let readers = said.as_object().unwrap();
    assert!(readers.len() >= 6, "{said}");
    for (reader, result) in readers {
        assert_eq!(result["failures"], json!([]), "{reader}");
        assert_eq!(result["fixed"], json!([POINTS]), "{reader}");
    }
}
