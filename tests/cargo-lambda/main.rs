//! The commands of `docs/cargo-lambda.md`, run as written except for the ports and the data
//! directory.
//!
//! Lines that begin with `$ ` are commands. `cargo run` and `cargo lambda watch` run in the
//! background until the next emulator is started. Every other command must succeed and print the
//! fields that the document shows.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot continue should fail at that line"
)]

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use e2e::binaries::workspace;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;

const DOCUMENT: &str = "docs/cargo-lambda.md";
/// A function may have to be built first.
const PATIENCE: Duration = Duration::from_secs(150);

/// A command in the document, and the line below it if that is JSON.
#[derive(Debug)]
struct Shown {
    command: String,
    answer: Option<Value>,
}

fn shown() -> Vec<Shown> {
    let document = std::fs::read_to_string(workspace().join(DOCUMENT)).unwrap();
    let lines: Vec<&str> = document.lines().collect();

    let commands = lines
        .iter()
        .enumerate()
        .filter_map(|(number, line)| Some((number, line.strip_prefix("$ ")?)));

    commands
        .map(|(number, command)| Shown {
            command: command.to_owned(),
            answer: lines
                .get(number + 1)
                .and_then(|line| serde_json::from_str(line).ok()),
        })
        .collect()
}

/// A process group, which is ended when this is dropped.
struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        // The emulator ends when its standard input closes; cargo lambda watch ends by the signal.
        drop(self.0.stdin.take());

        let group = Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        let _gone = killpg(group, Signal::SIGINT);

        let deadline = Instant::now() + Duration::from_secs(20);
        while self.0.try_wait().unwrap().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }

        let _gone = killpg(group, Signal::SIGKILL);
        let _gone = self.0.wait();
    }
}

/// The ports and folders of this run, and those of the document that they replace.
struct Run {
    path: String,
    replacements: Vec<(String, String)>,
    log: std::fs::File,
}

/// Three free ports. None contains a port of the document, which would be replaced too.
fn free_ports() -> [String; 3] {
    loop {
        let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = listeners.map(|listener| listener.local_addr().unwrap().port().to_string());

        if !ports.iter().any(|port| {
            ["8080", "9000", "9001"]
                .iter()
                .any(|shown| port.contains(shown))
        }) {
            return ports;
        }
    }
}

impl Run {
    fn new(data: &Path) -> Self {
        let installed = Command::new(workspace().join("tools/cargo-lambda/install"))
            .output()
            .unwrap();

        assert!(
            installed.status.success(),
            "{}",
            String::from_utf8_lossy(&installed.stderr)
        );

        let directory = String::from_utf8(installed.stdout).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the commands' own environment")]
        let path = format!("{}:{}", directory.trim(), std::env::var("PATH").unwrap());

        let [gateway, watch, invoke] = free_ports();
        let data = data.display().to_string();
        let replacements = [
            ("8080", gateway),
            ("9000", watch),
            ("9001", invoke),
            (".data", data),
        ];
        let replacements = replacements.map(|(old, new)| (old.to_owned(), new)).into();

        Self {
            path,
            replacements,
            log: tempfile::tempfile().unwrap(),
        }
    }

    fn place(&self, which: &str) -> &str {
        &self
            .replacements
            .iter()
            .find(|(old, _)| old == which)
            .unwrap()
            .1
    }

    fn command(&self, shown: &str) -> Command {
        let mut line = shown.to_owned();
        for (old, new) in &self.replacements {
            line = line.replace(old.as_str(), new);
        }

        if shown.contains("cargo run") {
            line.push_str(&format!(
                " --until-stdin-closes --port {} --data-dir {}",
                self.place("8080"),
                self.place(".data")
            ));
        }

        let mut command = Command::new("bash");
        command
            .args(["-c", &format!("exec env {line}")])
            .current_dir(workspace())
            .env("PATH", &self.path);
        command
            .env_remove("DATABASE_URL")
            .env_remove("KAFKA_BOOTSTRAP_SERVERS")
            .process_group(0);

        command
    }

    fn start(&self, shown: &str) -> Background {
        let mut command = self.command(shown);

        command
            .stdin(Stdio::piped())
            .stdout(self.log.try_clone().unwrap())
            .stderr(self.log.try_clone().unwrap());

        Background(command.spawn().unwrap())
    }

    /// The JSON that the command prints. It is repeated until what was started answers.
    fn answer(&self, shown: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;

        loop {
            let output = self.command(shown).stdin(Stdio::null()).output().unwrap();
            let answer = serde_json::from_slice(&output.stdout);

            match (output.status.success(), answer) {
                (true, Ok(answer)) if is_answer(&answer) => return answer,
                (_, answer) => assert!(Instant::now() < deadline, "{shown}: {answer:?} {output:?}"),
            }

            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

/// Whether the answer comes from the function, and is neither the gateway's own nor a 503 of a part
/// that is still starting.
fn is_answer(answer: &Value) -> bool {
    let away = fields(answer).contains("message")
        || answer["status"] == 503
        || answer["statusCode"] == 503;
    !away
}

fn fields(answer: &Value) -> BTreeSet<&str> {
    answer
        .as_object()
        .into_iter()
        .flat_map(|object| object.keys().map(String::as_str))
        .collect()
}

#[test]
#[ignore = "installs cargo-lambda by pip, once, into target: cargo test --test cargo_lambda -- --ignored"]
fn the_commands_of_the_document_on_cargo_lambda_work_as_written() {
    let data = tempfile::tempdir().unwrap();
    let run = Run::new(&data.path().join("data"));

    let mut background = Vec::new();
    let mut answered = 0;

    for Shown { command, answer } in shown() {
        if command.contains("cargo run") {
            background.clear();
            background.push(run.start(&command));
        } else if command.contains("cargo lambda watch") {
            let file = data.path().join("data/functions.env");

            let deadline = Instant::now() + PATIENCE;
            while !file.exists() {
                assert!(
                    Instant::now() < deadline,
                    "the emulator wrote no {}",
                    file.display()
                );
                std::thread::sleep(Duration::from_millis(100));
            }

            background.push(run.start(&command));
        } else {
            let answer = answer.unwrap_or_else(|| panic!("{command} is shown without an answer"));
            assert_eq!(fields(&run.answer(&command)), fields(&answer), "{command}");
            answered += 1;
        }
    }

    assert!(
        answered >= 4,
        "only {answered} commands were found in the document"
    );
}
