//! A process that keeps one core busy, and a fixed piece of work that shows how fast a core is.

use std::hint::black_box;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// Rounds of [`work`] that are timed.
const ROUNDS: u64 = 100_000_000;
/// The fastest of this many runs counts: others may have been interrupted.
const RUNS: usize = 3;

/// The option by which the benchmark starts itself as a busy process.
pub(crate) const OPTION: &str = "--busy-core";

/// A child process of the same priority that computes without a pause. It ends when this is
/// dropped.
#[derive(Debug)]
pub(crate) struct BusyCore(Child);

impl BusyCore {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("where this benchmark's binary lies")?;
        let child = Command::new(own)
            .arg(OPTION)
            .spawn()
            .context("starting a busy process")?;
        Ok(Self(child))
    }
}

impl Drop for BusyCore {
    fn drop(&mut self) {
        // Both fail only if the process has ended.
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// Computes until the parent process is gone.
pub(crate) fn keep_busy() {
    let parent = std::os::unix::process::parent_id();
    while std::os::unix::process::parent_id() == parent {
        black_box(work(ROUNDS / 10));
    }
}

/// The time that a fixed amount of work takes on one core: the machine's speed, beside which
/// figures of different machines can be compared.
pub(crate) fn fixed_work() -> Duration {
    let once = |_| {
        let started = Instant::now();
        black_box(work(black_box(ROUNDS)));
        started.elapsed()
    };
    (0..RUNS).map(once).min().unwrap_or_default()
}

/// A chain of dependent multiplications and shifts (xorshift64*), which no compiler shortens and
/// no memory slows.
fn work(rounds: u64) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..rounds {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state = state.wrapping_mul(0x2545_f491_4f6c_dd1d);
    }
    state
}
