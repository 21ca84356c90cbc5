//! The stack as a person starts it: the emulator's binary, its own process, everything real.

use std::io::{BufRead, BufReader, Lines};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;
use serde::Deserialize;
use serde_json::Value;
use sqlx::postgres::PgPool;

use crate::topic::Producer;
use crate::unread::{end_unless_dropped, fill};
use crate::{binaries, processes, waiting};

/// A running stack, which is stopped when it is dropped.
#[derive(Debug)]
pub struct Stack {
    /// What the emulator reported when it was ready.
    pub ready: Ready,
    child: Child,
    // The emulator stops when this closes, even if the test's process is killed.
    stdin: Option<ChildStdin>,
    /// Standard output and standard error, held open and never read.
    _unread: Option<(Lines<BufReader<ChildStdout>>, ChildStderr)>,
    client: reqwest::Client,
}

/// The emulator's ready line. A field is empty if its part runs in another emulator.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Ready {
    /// The address of the HTTP API.
    pub url: String,
    /// The URL of the database in use.
    pub database_url: String,
    /// The address of the broker in use.
    pub kafka_bootstrap_servers: String,
    /// The address of `EventBridge` Scheduler's API.
    pub scheduler_url: String,
    /// The address of Lambda's Invoke API.
    pub invoke_url: String,
    /// The provider for requests that name none.
    pub default_provider: String,
    /// The folder with the emulator's data.
    pub data_directory: PathBuf,
}

/// How to start a stack.
#[derive(Debug, Default)]
pub struct Options<'a> {
    /// The folder for its data.
    pub data_directory: PathBuf,
    /// Variables in addition to `DEFAULT_PROVIDER=replay`.
    pub environment: &'a [(&'a str, &'a str)],
    /// Flags in addition to those that every test needs.
    pub flags: &'a [&'a str],
}

impl Stack {
    /// Starts the emulator with its data in `data_directory` and without further options.
    ///
    /// # Errors
    /// When it ends before it is ready.
    pub async fn start_in(data_directory: &Path) -> anyhow::Result<Self> {
        Self::start(Options {
            data_directory: data_directory.to_owned(),
            ..Options::default()
        })
        .await
    }

    /// Starts the emulator and waits for its ready line.
    ///
    /// # Errors
    /// When it ends before it is ready.
    pub async fn start(options: Options<'_>) -> anyhow::Result<Self> {
        let command = Self::command(options).await?;
        tokio::task::spawn_blocking(move || Self::wait_until_ready(command)).await?
    }

    /// Starts the emulator as `start` does, but its standard error is never read, nor its standard
    /// output after the ready line: both pipes are full.
    ///
    /// # Errors
    /// When it ends before it is ready.
    pub async fn start_unread(options: Options<'_>) -> anyhow::Result<Self> {
        let mut command = Self::command(options).await?;
        command.stderr(Stdio::piped());
        tokio::task::spawn_blocking(move || Self::wait_until_ready(command)).await?
    }

    /// Starts the emulator with options that it must refuse. Returns its exit status and its
    /// standard error.
    ///
    /// # Errors
    /// When it still runs after a minute.
    pub async fn refusal(options: Options<'_>) -> anyhow::Result<(Option<i32>, String)> {
        let mut command = tokio::process::Command::from(Self::command(options).await?);
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .context("starting the emulator")?;

        // The emulator stops when its standard input closes.
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

    /// Spawns the command and reads up to its ready line. If the command has a pipe for standard
    /// error, that pipe is filled and never read, and so is standard output after the ready line.
    fn wait_until_ready(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command.spawn().context("starting the emulator")?;

        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let _until_ready = stderr.is_some().then(|| end_unless_dropped(child.id()));
        stderr.as_ref().map_or(Ok(()), fill)?;

        let stdout = child
            .stdout
            .take()
            .context("the emulator's standard output")?;

        // A second handle, because the reader below takes the first.
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
                        // Later lines do not matter to the test.
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

    /// The answer of the function to the event in `events/{event}.json`, through the Invoke API.
    ///
    /// # Panics
    /// When it is not invoked, or answers with an error.
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

    /// The answer to a request: its status and its JSON body, which is null if there is none.
    ///
    /// # Panics
    /// When no answer arrives.
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

    /// The answer to `GET path`.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.request(reqwest::Method::GET, path, None).await
    }

    /// Creates a polling job for replayed prices and returns its id.
    ///
    /// # Panics
    /// When the job is not accepted.
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

    /// A pool of two connections to the stack's database.
    ///
    /// # Errors
    /// When the database's URL is malformed.
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

    /// The pids of all processes of the stack except the emulator itself.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        processes::all(&self.ready.data_directory)
    }

    /// The pid of the emulator itself.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The pids of the instances of `function` that run.
    #[must_use]
    pub fn instances(&self, function: &str) -> Vec<u32> {
        processes::instances(&self.ready.data_directory, function)
    }

    /// Waits until an instance of `function` runs, and returns its pid.
    pub async fn instance(&self, function: &str) -> u32 {
        let running = async || self.instances(function).first().copied();

        waiting::until(
            &format!("instance of {function}"),
            Duration::from_secs(10),
            running,
        )
        .await
    }

    /// Waits until the stack's own Postgres runs, and returns its pid.
    pub async fn postgres(&self) -> u32 {
        let running = async || processes::postgres(&self.ready.data_directory);
        waiting::until("Postgres", Duration::from_secs(10), running).await
    }

    /// Stops the emulator with `signal` and waits for its end. Returns its exit code, or none if
    /// the signal ended it.
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

/// The flags that locate the functions' binaries; none if the functions run elsewhere.
fn binaries_of_functions(flags: &[&str]) -> anyhow::Result<Vec<std::ffi::OsString>> {
    if flags.contains(&"--functions") {
        return Ok(Vec::new());
    }
    Ok(vec!["--bin-dir".into(), binaries::functions()?.into()])
}

/// The flags for the broker that `TEST_BROKER` names; none if the test itself names one.
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

impl Drop for Stack {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ended = self.child.wait();
    }
}
