//! A visitor: a script that drives a browser. At a cue the test does what the script waits for.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use e2e::binaries::workspace;
use e2e::stack::{Options, Stack};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Longest that a visitor may take from one line to the next.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running script.
pub(crate) struct Visitor {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Visitor {
    /// Starts the script, which opens the page of the stack.
    pub(crate) fn of(script: &str, stack: &Stack) -> Self {
        Self::with(script, stack, &[])
    }

    /// Starts the script with arguments of its own.
    pub(crate) fn with(script: &str, stack: &Stack, arguments: &[&str]) -> Self {
        let installed = workspace().join("target/page/installed");
        assert!(
            installed.exists(),
            "Playwright is not installed: run tools/page/install, which needs the network once"
        );

        let mut child = Command::new("node")
            .arg(workspace().join("tests/page").join(script))
            .arg(&stack.ready.url)
            .arg(pictures())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();

        let stdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            stdin,
            lines,
        }
    }

    /// Waits until the script says that it waits for `cue`.
    pub(crate) async fn until(&mut self, cue: &str) {
        let line = self.line().await;
        assert_eq!(line["cue"], cue, "{line}");
    }

    /// Lets the script go on.
    pub(crate) async fn go_on(&mut self) {
        self.stdin.write_all(b"\n").await.unwrap();
    }

    /// Waits until the script has ended, and returns what it says at the end.
    pub(crate) async fn said(mut self) -> Value {
        let line = self.line().await;
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;

        assert!(status.unwrap().unwrap().success());
        line["said"].clone()
    }

    /// The next line that is for the test. What else the script prints is shown.
    #[expect(
        clippy::print_stdout,
        reason = "what a script says is part of what a test tells"
    )]
    async fn line(&mut self) -> Value {
        loop {
            let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
            let Some(line) = line.unwrap().unwrap() else {
                panic!("the visitor gave up: its reason is above");
            };

            match serde_json::from_str(&line) {
                Ok(Value::Object(message)) => return Value::Object(message),
                _ => println!("{line}"),
            }
        }
    }
}

/// The directory for pictures of the page.
fn pictures() -> PathBuf {
    workspace().join("target/page/pictures")
}

/// A stack whose recorded prices move every second.
pub(crate) async fn lively_stack(data: &std::path::Path) -> Stack {
    let options = Options {
        data_directory: data.to_owned(),
        environment: &[("REPLAY_STEP_SECONDS", "1")],
        ..Options::default()
    };
    Stack::start(options).await.unwrap()
}
