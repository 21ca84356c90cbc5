//! A function's process: how it is started, ended and waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures::future::join_all;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncRead;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::family::{self, Member};
use super::instance::{InstanceId, Order};
use super::leftovers::ProcessFile;
use super::{environment, log_lines};
use crate::function_binaries;
use crate::template::FunctionDefinition;

/// How long to wait for the output that a process wrote just before its end.
const LAST_WORDS: Duration = Duration::from_millis(500);

type Output = Pin<Box<dyn AsyncRead + Send>>;

/// What all processes of a host have in common.
#[derive(Debug)]
pub(super) struct Launcher {
    /// The address of the Runtime API.
    pub(super) address: SocketAddr,
    /// The directory of the binaries.
    pub(super) binary_directory: PathBuf,
    /// The directory of the process files.
    pub(super) run_directory: PathBuf,
    /// Variables that replace those of the template.
    pub(super) overrides: BTreeMap<String, String>,
}

/// A started process. Dropping it kills its process group.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// The variable that identifies the processes that it started.
    mark: String,
    /// The processes that it had started when it was ordered to end.
    family: BTreeSet<Member>,
    /// The tasks that copy its output.
    output: Vec<JoinHandle<()>>,
    // Dropped, and so removed, with the process.
    _file: Option<ProcessFile>,
}

impl Launcher {
    /// Starts an instance of `function` in a process group of its own, so that a terminal's Ctrl-C
    /// does not reach it.
    pub(super) fn start(
        &self,
        function: &FunctionDefinition,
        instance: InstanceId,
        log_prefix: &str,
    ) -> io::Result<Process> {
        let binary = function_binaries::path(&self.binary_directory, &function.binary);
        let runtime_api = format!("http://{}/{}/{instance}", self.address, function.name);
        let stream = instance.simple().to_string();
        let variables = environment::of_instance(function, &self.overrides, runtime_api, &stream);
        let mark = environment::mark(&stream);

        let mut child = Command::new(&binary)
            .env_clear()
            .envs(variables)
            .env("LAMBDA_TASK_ROOT", &self.binary_directory)
            .current_dir(&self.binary_directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;

        let forward = |output| tokio::spawn(log_lines::forward(output, log_prefix.to_owned()));
        let stdout = child
            .stdout
            .take()
            .map(|output| forward(Box::pin(output) as Output));
        let stderr = child
            .stderr
            .take()
            .map(|output| forward(Box::pin(output) as Output));

        let pid = child.id().unwrap_or_default();
        let file = ProcessFile::write(&self.run_directory, &function.name, pid, &binary, &mark)
            .inspect_err(|error| {
                let name = &function.name;
                tracing::warn!(
                    function = name, pid, %error,
                    "cannot record process {pid} of {name} for the next start"
                );
            })
            .ok();

        let output = stdout.into_iter().chain(stderr).collect();
        Ok(Process {
            child,
            mark,
            family: BTreeSet::new(),
            output,
            _file: file,
        })
    }
}

impl Process {
    /// The process id; `None` once the process was collected.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for the process to end, passing on each order, and ends the processes that it leaves
    /// behind.
    pub(super) async fn ended(
        &mut self,
        orders: &mut watch::Receiver<Order>,
    ) -> io::Result<ExitStatus> {
        let leader = self.child.id();

        loop {
            tokio::select! {
                status = self.child.wait() => {
                    // Before waiting for its output: a child process would keep the pipe open.
                    if let Some(leader) = leader {
                        self.end_family(leader).await;
                    }

                    // Before the caller learns of the end, so that the last lines are logged first.
                    let _cut_off = timeout(LAST_WORDS, join_all(self.output.drain(..))).await;

                    return status;
                }
                Ok(()) = orders.changed() => {
                    let order = *orders.borrow_and_update();

                    // Before the signal: the processes that it ends are those by which the others
                    // are found.
                    self.meet_family().await;
                    self.signal(order);
                }
            }
        }
    }

    /// Notes the processes that it has started so far.
    async fn meet_family(&mut self) {
        let mark = self.mark.clone();
        // It reads much of `/proc`, which blocks.
        let met = tokio::task::spawn_blocking(move || family::members(None, &mark)).await;
        self.family.extend(met.unwrap_or_default());
    }

    async fn end_family(&mut self, leader: u32) {
        let (mark, met) = (self.mark.clone(), std::mem::take(&mut self.family));
        let ended = tokio::task::spawn_blocking(move || family::end(leader, &mark, met)).await;

        if let Ok(processes @ 1..) = ended {
            tracing::info!(
                process = leader,
                processes,
                "ended {processes} processes that process {leader} of a function had started"
            );
        }
    }

    /// Signals the process group. The process has not been collected yet, so no other process has
    /// its id.
    fn signal(&self, order: Order) {
        let signal = match order {
            Order::Run => return,
            Order::Terminate => Signal::SIGTERM,
            Order::Kill => Signal::SIGKILL,
        };

        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // It fails only if the process is gone.
            let _ = killpg(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Does nothing once the process was collected.
        self.signal(Order::Kill);
    }
}
