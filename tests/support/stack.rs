//! The stack as a person starts it: the emulator's binary, its own process, everything real.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Lines, Write as _};
use std::os::fd::{AsFd, AsRawFd as _};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;
use serde::Deserialize;
use serde_json::Value;
use sqlx::postgres::PgPool;

use crate::topic::Producer;
use crate::{binaries, processes, waiting};

/// A running stack; it is stopped when dropped, and its data directory with it unless kept.
#[derive(Debug)]
pub struct Stack {
    /// What the emulator said when it was ready.
    pub ready: Ready,
    child: Child,
    // The emulator stops when this closes, also when the test's process is killed.
    stdin: Option<ChildStdin>,
    /// Held open where nobody reads them.
    _unread: Option<(Lines<BufReader<ChildStdout>>, ChildStderr)>,
    client: reqwest::Client,
}

/// The emulator's ready line; what runs in other emulators is empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Ready {
    /// Where the HTTP API answers.
    pub url: String,
    /// The database in use.
    pub database_url: String,
    /// The broker in use.
    pub kafka_bootstrap_servers: String,
    /// `EventBridge` Scheduler's API.
    pub scheduler_url: String,
    /// Lambda's Invoke API.
    pub invoke_url: String,
    /// The provider asked where a request names none.
    pub default_provider: String,
    /// Where everything is kept.
    pub data_directory: PathBuf,
}

/// How to start a stack.
#[derive(Debug, Default)]
pub struct Options<'a> {
    /// Where it keeps its data.
    pub data_directory: PathBuf,
    /// Variables, besides `DEFAULT_PROVIDER=replay`.
    pub environment: &'a [(&'a str, &'a str)],
    /// Flags besides those every test needs.
    pub flags: &'a [&'a str],
}

impl Stack {
    /// Starts the emulator and waits for its ready line.
    ///
    /// # Errors
    /// When it ends before.
    pub async fn start(options: Options<'_>) -> anyhow::Result<Self> {
        let command = Self::command(options).await?;
        tokio::task::spawn_blocking(move || Self::wait_until_ready(command)).await?
    }

    /// The same, but nobody reads its standard error, nor its standard output after the ready line: both pipes are full.
    ///
    /// # Errors
    /// When it ends before it is ready.
    pub async fn start_unread(options: Options<'_>) -> anyhow::Result<Self> {
        let mut command = Self::command(options).await?;
        command.stderr(Stdio::piped());
        tokio::task::spawn_blocking(move || Self::wait_until_ready(command)).await?
    }

    /// Starts the emulator in the hope that it refuses to; gives its exit status and what it said on standard error.
    ///
    /// # Errors
    /// When it still runs after a minute.
    pub async fn refusal(options: Options<'_>) -> anyhow::Result<(Option<i32>, String)> {
        let mut command = tokio::process::Command::from(Self::command(options).await?);
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .context("starting the emulator")?;
        // Closing it would be the wish to stop.
        let _stdin = child.stdin.take();
        let ended = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await;
        let output = ended.context("the emulator neither refused to start nor failed")??;
        Ok((
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    }

    async fn command(options: Options<'_>) -> anyhow::Result<Command> {
        let mut command = Command::new(
            tokio::task::spawn_blocking(binaries::directory)
                .await??
                .join("emulator"),
        );
        command
            .args([
                "--output",
                "json",
                "--port",
                "0",
                "--until-stdin-closes",
                "--show-passwords",
                "--data-dir",
            ])
            .arg(&options.data_directory)
            .args(options.flags)
            .args(binaries_of_functions(options.flags)?)
            .args(broker(options.flags)?)
            .current_dir(binaries::workspace())
            .env("DEFAULT_PROVIDER", "replay")
            .env_remove("DATABASE_URL")
            .envs(options.environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        Ok(command)
    }

    /// Where the command has a pipe for standard error, nobody reads it, nor what follows the ready line.
    fn wait_until_ready(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command.spawn().context("starting the emulator")?;
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        stderr.as_ref().map_or(Ok(()), fill)?;
        let stdout = child
            .stdout
            .take()
            .context("the emulator's standard output")?;
        let again = stderr
            .is_some()
            .then(|| stdout.as_fd().try_clone_to_owned())
            .transpose()?;
        let mut lines = BufReader::new(stdout).lines();
        for line in lines.by_ref() {
            let event: Value = serde_json::from_str(&line?).context("a line that is not JSON")?;
            if event["event"] == "ready" {
                let client = reqwest::Client::builder()
                    .no_proxy()
                    .timeout(Duration::from_secs(30))
                    .build()?;
                let ready = serde_json::from_value(event)?;
                let unread = match stderr {
                    Some(stderr) => {
                        again.as_ref().map_or(Ok(()), fill)?;
                        Some((lines, stderr))
                    }
                    None => {
                        // What comes later is of no interest to the test.
                        std::thread::spawn(move || lines.for_each(drop));
                        None
                    }
                };
                return Ok(Self {
                    ready,
                    child,
                    stdin,
                    _unread: unread,
                    client,
                });
            }
        }
        anyhow::bail!("the emulator ended before it was ready: {}", child.wait()?)
    }

    /// What the function answers to the event in `events/{event}.json`, by the Invoke API.
    ///
    /// # Panics
    /// When it is not invoked, or answers an error.
    pub async fn invoke(&self, function: &str, event: &str) -> Value {
        let event = binaries::workspace().join(format!("events/{event}.json"));
        let event = std::fs::read(event).unwrap_or_else(|error| panic!("{function}: {error}"));
        let url = format!(
            "{}/2015-03-31/functions/{function}/invocations",
            self.ready.invoke_url
        );
        let answer = self.client.post(url).body(event).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("{function}: {error}"));
        let (status, failed) = (
            answer.status(),
            answer.headers().contains_key("x-amz-function-error"),
        );
        let text = answer.text().await.unwrap_or_default();
        assert!(
            status.as_u16() == 200 && !failed,
            "{function}: {status} {text}"
        );
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// The answer to a request: status and JSON body (null when there is none).
    ///
    /// # Panics
    /// When there is no answer at all.
    pub async fn request(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.ready.url));
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let response = request
            .send()
            .await
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        let status = response.status().as_u16();
        let text = response.text().await.unwrap_or_default();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// `GET path`.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.request(reqwest::Method::GET, path, None).await
    }

    /// Posts a polling job for replayed prices; gives its id.
    ///
    /// # Panics
    /// When it is not accepted.
    pub async fn poll(&self, symbols: &[&str], interval: u32) -> String {
        let body =
            serde_json::json!({"symbols": symbols, "interval": interval, "provider": "replay"});
        let (status, job) = self
            .request(reqwest::Method::POST, "/prices/poll", Some(&body))
            .await;
        assert_eq!(
            (status, &job["status"]),
            (202, &Value::from("accepted")),
            "{job}"
        );
        job["job_id"].as_str().unwrap_or_default().to_owned()
    }

    /// The stack's database.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub fn database(&self) -> anyhow::Result<PgPool> {
        Ok(shared::repository::connect(&self.ready.database_url, 2)?)
    }

    /// A producer for the stack's topic.
    ///
    /// # Errors
    /// When the broker's address is malformed.
    pub fn producer(&self) -> anyhow::Result<Producer> {
        Producer::connect(&self.ready.kafka_bootstrap_servers)
    }

    /// All processes of the stack but the emulator itself.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        processes::all(&self.ready.data_directory)
    }

    /// The pid of the emulator itself.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until an instance of `function` runs; gives its pid.
    pub async fn instance(&self, function: &str) -> u32 {
        let running = async || {
            processes::instances(&self.ready.data_directory, function)
                .first()
                .copied()
        };
        waiting::until(
            &format!("instance of {function}"),
            Duration::from_secs(10),
            running,
        )
        .await
    }

    /// Waits until the stack's own Postgres runs; gives its pid.
    pub async fn postgres(&self) -> u32 {
        let running = async || processes::postgres(&self.ready.data_directory);
        waiting::until("Postgres", Duration::from_secs(10), running).await
    }

    /// Stops the emulator with `signal` and waits for its end; gives its exit code, if it has one.
    ///
    /// # Panics
    /// When it does not end within 12 s.
    pub async fn stop(mut self, signal: Signal) -> Option<i32> {
        processes::signal(self.child.id(), signal);
        let child = &mut self.child;
        let ended = async || child.try_wait().ok().flatten();
        waiting::until("end of the emulator", Duration::from_secs(12), ended)
            .await
            .code()
    }
}

/// The flags for the functions' binaries, unless the functions run elsewhere.
fn binaries_of_functions(flags: &[&str]) -> anyhow::Result<Vec<std::ffi::OsString>> {
    if flags.contains(&"--functions") {
        return Ok(Vec::new());
    }
    Ok(vec!["--bin-dir".into(), binaries::functions()?.into()])
}

/// The flags for the broker that `TEST_BROKER` names, unless the test itself names one.
#[expect(clippy::disallowed_methods, reason = "the tests' own configuration")]
fn broker(flags: &[&str]) -> anyhow::Result<&'static [&'static str]> {
    let wanted = std::env::var("TEST_BROKER").unwrap_or_default();
    match wanted.as_str() {
        _ if flags.contains(&"--broker") => Ok(&[]),
        "" | "embedded" => Ok(&[]),
        "kafka" => Ok(&["--broker", "kafka"]),
        _ => anyhow::bail!("TEST_BROKER must be embedded or kafka"),
    }
}

/// Writes into a pipe, given its end for reading, until it is closed: from now on it is full.
fn fill(pipe: &impl AsFd) -> io::Result<()> {
    let end = format!("/proc/self/fd/{}", pipe.as_fd().as_raw_fd());
    let mut writer = OpenOptions::new().write(true).open(end)?;
    std::thread::spawn(move || while writer.write_all(&[b'\n'; 4096]).is_ok() {});
    Ok(())
}

impl Drop for Stack {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ended = self.child.wait();
    }
}
