//! What the processes of Postgres and Kafka have in common: they are kept running until they are
//! stopped, and the next start finds them if their emulator was killed.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::pauses::Pauses;

/// The pause before a restart. It doubles with each restart that follows soon after the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long to wait until a dead process has been collected by its parent.
const COLLECTED: Duration = Duration::from_secs(5);
/// The pause between two checks of a process.
pub(super) const POLL: Duration = Duration::from_millis(20);

/// How a backing service is started, first and after an unexpected end.
pub(super) trait Service: Send + Sync + Sized + 'static {
    /// The service's name, for people.
    const NAME: &'static str;
    /// The signals that end it, the gentlest first, each with the time that it is given.
    const ENDING: &'static [(Signal, Duration)];

    /// Starts a process, and returns once it is ready.
    fn start(&self) -> impl Future<Output = anyhow::Result<Child>> + Send;
}

/// A service that is kept running until it is stopped.
#[derive(Debug)]
pub(super) struct Running {
    /// Carries the deadline of the stop.
    stop: oneshot::Sender<Instant>,
    watch: JoinHandle<()>,
}

impl Running {
    /// Keeps `service`, whose process is `child`, running. `hurry` shortens its stop.
    pub(super) fn keep<S: Service>(service: S, child: Child, hurry: CancellationToken) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self {
            watch: tokio::spawn(watch(service, child, stopped, hurry)),
            stop,
        }
    }

    /// Ends the service by `deadline`, and returns when it has ended.
    pub(super) async fn stop(self, deadline: Instant) {
        let _ended_already = self.stop.send(deadline);
        if let Err(error) = self.watch.await {
            tracing::error!("the watch over a backing service failed: {error}");
        }
    }
}

async fn watch<S: Service>(
    service: S,
    mut child: Child,
    mut stop: oneshot::Receiver<Instant>,
    hurry: CancellationToken,
) {
    let mut pauses = Pauses::new(FIRST_PAUSE, LONGEST_PAUSE);

    loop {
        let started = Instant::now();

        tokio::select! {
            _ = child.wait() => {}
            deadline = &mut stop => {
                let deadline = deadline.unwrap_or_else(|_| Instant::now());
                return end(&mut child, S::ENDING, deadline, &hurry).await;
            }
        }

        if started.elapsed() > LONGEST_PAUSE * 2 {
            pauses.start_over();
        }

        tokio::select! {
            again = start_again(&service, &mut pauses) => child = again,
            // A process that is being started is killed when its future is dropped.
            _ = &mut stop => return,
        }
    }
}

async fn start_again<S: Service>(service: &S, pauses: &mut Pauses) -> Child {
    let service_name = S::NAME;
    tracing::warn!(
        service = service_name,
        "{service_name} ended unexpectedly; starting it again"
    );

    loop {
        sleep(pauses.next()).await;

        if let Some(child) = try_to_start(service).await {
            return child;
        }
    }
}

async fn try_to_start<S: Service>(service: &S) -> Option<Child> {
    service
        .start()
        .await
        .inspect_err(|error| tracing::error!("{error:#}"))
        .ok()
}

/// Ends a child of this process by `deadline`. If time is short, the last signal gets half of it.
/// On `hurry`, only the last signal is waited for.
async fn end(
    child: &mut Child,
    signals: &[(Signal, Duration)],
    deadline: Instant,
    hurry: &CancellationToken,
) {
    let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) else {
        return;
    };

    for (position, (signal, patience)) in signals.iter().enumerate() {
        let _ended = kill(Pid::from_raw(pid), *signal);

        let is_last = position + 1 == signals.len();
        let left = deadline.saturating_duration_since(Instant::now());
        let patience = (*patience).min(if is_last { left } else { left / 2 });

        tokio::select! {
            ended = timeout(patience, child.wait()) => if ended.is_ok() { return },
            () = hurry.cancelled(), if !is_last => {}
        }
    }

    let _ended = child.kill().await;
}

/// Ends the process that a killed emulator left running on `data`. `pid_file` holds its id.
pub(super) async fn end_leftover<S: Service>(pid_file: &Path, data: &Path) -> anyhow::Result<()> {
    let Some(pid) = running_on(pid_file, data) else {
        collected(pid_file).await;
        return Ok(());
    };

    tracing::info!(%pid, "ending the {} that an earlier emulator left running", S::NAME);
    for (signal, patience) in S::ENDING
        .iter()
        .chain(&[(Signal::SIGKILL, Duration::from_secs(2))])
    {
        let _ended = kill(pid, *signal);

        let deadline = Instant::now() + *patience;
        while Instant::now() < deadline {
            if running_on(pid_file, data).is_none() {
                collected(pid_file).await;
                return Ok(());
            }
            sleep(POLL).await;
        }
    }

    anyhow::bail!(
        "process {pid}, a {} of an earlier emulator, does not end",
        S::NAME
    )
}

/// The process named on the first line of `pid_file`, if it still runs and its command line names a
/// path in `data`.
fn running_on(pid_file: &Path, data: &Path) -> Option<Pid> {
    let pid = noted(pid_file)?;
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;

    let mut arguments = command_line.split(|byte| *byte == 0).map(OsStr::from_bytes);
    arguments
        .any(|argument| Path::new(argument).starts_with(data))
        .then(|| Pid::from_raw(pid))
}

/// Waits until its parent has collected a dead process. Until then the next PostgreSQL takes it for
/// a running one.
async fn collected(pid_file: &Path) {
    let Some(pid) = noted(pid_file) else { return };
    let deadline = Instant::now() + COLLECTED;
    let is_dead = || {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command_line| command_line.is_empty())
    };

    while is_dead() && Instant::now() < deadline {
        sleep(POLL).await;
    }
}

/// The process named on the first line of `pid_file`.
fn noted(pid_file: &Path) -> Option<i32> {
    fs::read_to_string(pid_file)
        .ok()?
        .lines()
        .next()?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use tokio::io::{AsyncBufReadExt as _, BufReader};

    use super::*;

    #[tokio::test]
    async fn what_ignores_its_signals_is_killed_at_the_deadline_however_long_they_might_take() {
        let mut child = tokio::process::Command::new("sh")
            .args([
                "-c",
                "trap '' INT QUIT; echo deaf; while :; do sleep 1; done",
            ])
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();

        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("deaf"));

        let hour = Duration::from_secs(3600);
        let deadline = Instant::now() + Duration::from_millis(50);
        let signals = [(Signal::SIGINT, hour), (Signal::SIGQUIT, hour)];
        let hurry = CancellationToken::new();

        let end = end(&mut child, &signals, deadline, &hurry);
        timeout(Duration::from_secs(60), end).await.unwrap();

        assert_eq!(child.wait().await.unwrap().signal(), Some(9));
    }
}
