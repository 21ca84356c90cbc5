//! Output that no process reads: pipes that are full.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd as _};
use std::sync::mpsc;
use std::time::Duration;

use crate::processes;

/// Longest that a stack whose output no process reads may take to start.
const LONGEST_START: Duration = Duration::from_secs(60);

/// Kills an emulator that is not ready in time, unless the result is dropped before. Reading its
/// output then ends.
pub(crate) fn end_unless_dropped(pid: u32) -> mpsc::Sender<()> {
    let (ready, waited) = mpsc::channel();
    std::thread::spawn(move || {
        if waited.recv_timeout(LONGEST_START) == Err(mpsc::RecvTimeoutError::Timeout) {
            processes::kill_9(pid);
        }
    });
    ready
}

/// Fills a pipe, given the end for reading, and keeps it full until it is closed.
pub(crate) fn fill(pipe: &impl AsFd) -> io::Result<()> {
    let end = format!("/proc/self/fd/{}", pipe.as_fd().as_raw_fd());
    let mut writer = OpenOptions::new().write(true).open(end)?;
    std::thread::spawn(move || while writer.write_all(&[b'\n'; 4096]).is_ok() {});
    Ok(())
}
