//! The reasons to stop: Ctrl-C, SIGTERM, the end of the terminal, or the end of standard input.

use std::io::Read as _;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Everything ends within 10 s. The rest of it is for work that is not waited for.
const WITHIN: Duration = Duration::from_millis(9500);

/// The request to stop, and the request to stop faster.
#[derive(Clone, Debug, Default)]
pub(crate) struct StopRequest {
    /// Cancelled by the first request.
    pub(crate) stop: CancellationToken,
    /// Cancelled by the second request.
    pub(crate) hurry: CancellationToken,
}

impl StopRequest {
    /// Listens for signals, and for the end of standard input if `until_stdin_closes`.
    pub(crate) fn listen(until_stdin_closes: bool) -> anyhow::Result<Self> {
        let request = Self::default();
        for kind in [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ] {
            let mut signals = signal(kind).context("cannot listen for signals")?;

            let listener = request.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    listener.ask();
                }
            });
        }

        if until_stdin_closes {
            let listener = request.clone();
            // In a thread of its own: a blocking read would delay the runtime's shutdown.
            thread::Builder::new()
                .name("stdin".to_owned())
                .spawn(move || {
                    let mut buffer = [0; 256];
                    let mut stdin = std::io::stdin().lock();
                    while matches!(stdin.read(&mut buffer), Ok(1..)) {}
                    listener.stop.cancel();
                })?;
        }

        Ok(request)
    }

    /// The time by which everything must have ended if the stop begins now.
    pub(crate) fn deadline() -> Instant {
        Instant::now() + WITHIN
    }

    fn ask(&self) {
        // Looked at before `stop` is cancelled: the first request must not hurry.
        if self.stop.is_cancelled() {
            self.hurry.cancel();
        }

        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_second_request_hurries() {
        let request = StopRequest::default();

        request.ask();
        assert!(request.stop.is_cancelled() && !request.hurry.is_cancelled());

        request.ask();
        assert!(request.hurry.is_cancelled());
    }
}
