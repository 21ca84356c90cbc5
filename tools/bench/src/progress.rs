//! A line on standard error every ten seconds: what is being measured, and the time since the
//! start.

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

const INTERVAL: Duration = Duration::from_secs(10);

/// The present step, which is printed until this is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    now: Arc<Mutex<String>>,
    lines: JoinHandle<()>,
}

impl Progress {
    pub(crate) fn start() -> Self {
        let now = Arc::new(Mutex::new("starting".to_owned()));
        let shown = Arc::clone(&now);
        let started = Instant::now();

        let lines = tokio::spawn(async move {
            loop {
                let what = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let _nobody_reads = writeln!(
                    std::io::stderr(),
                    "[{:4} s] {what}",
                    started.elapsed().as_secs()
                );

                tokio::time::sleep(INTERVAL).await;
            }
        });

        Self { now, lines }
    }

    /// Sets the step that the following lines show.
    pub(crate) fn tell(&self, what: impl Into<String>) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = what.into();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.lines.abort();
    }
}
