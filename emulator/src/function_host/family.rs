//! The processes that a function's instance started. They end with it, as everything in a Lambda
//! sandbox does.
//!
//! They are found by the instance's mark, a variable that children inherit and that no other
//! process has; by the process group that the instance led; and by their parents. A process that
//! left the group and cleared its environment is not found once its parent has ended.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgrp};

use super::liveness::{self, Stat};

/// How long to keep killing processes that start others.
const PATIENCE: Duration = Duration::from_secs(1);

/// A running process of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member {
    pid: u32,
    started: u64,
}

impl Member {
    /// Whether this process, and not a later one with its id, still runs.
    fn is_running(self) -> bool {
        liveness::is_running_since(self.pid, self.started)
    }

    /// Sends a signal, unless the id now belongs to another process.
    pub(super) fn signal(self, signal: Signal) {
        if self.is_running()
            && let Ok(pid) = i32::try_from(self.pid)
        {
            // An error means that it has ended, or belongs to another user.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

/// Kills the processes that an instance left after its own process, `leader`, ended: those found
/// now, and those `met` before. Returns how many there were.
pub(super) fn end(leader: u32, mark: &str, met: BTreeSet<Member>) -> usize {
    let deadline = Instant::now() + PATIENCE;
    let mut killed = BTreeSet::new();

    let mut left = met;
    left.extend(members(Some(leader), mark));
    left.retain(|member| member.is_running());

    while !left.is_empty() && Instant::now() < deadline {
        for member in &left {
            member.signal(Signal::SIGKILL);
        }

        killed.append(&mut left);
        std::thread::sleep(Duration::from_millis(5));
        left = members(Some(leader), mark);
    }

    killed.len()
}

/// The running processes of the instance with this `mark`: those that have it, their process groups
/// and descendants, and the rest of the group of a `leader` that has just ended.
pub(super) fn members(leader: Option<u32>, mark: &str) -> BTreeSet<Member> {
    let running: Vec<Stat> = processes().filter(|process| !process.is_dead()).collect();

    // The id of a group is not reused while the group has members. If a process has the leader's
    // id, the group has ended and the process is an unrelated one.
    let leader = leader.filter(|leader| running.iter().all(|process| process.pid != *leader));
    let own_group = u32::try_from(getpgrp().as_raw()).unwrap_or_default();

    let marked = running
        .iter()
        .filter(|process| bears(process.pid, mark))
        .map(|process| process.pid);

    let mut pids: BTreeSet<u32> = marked.collect();
    let mut groups: BTreeSet<u32> = leader.into_iter().collect();

    loop {
        let before = pids.len();
        for process in &running {
            let ours = pids.contains(&process.pid)
                || pids.contains(&process.parent)
                || groups.contains(&process.group);
            if ours && process.pid != std::process::id() {
                pids.insert(process.pid);
                groups.extend((process.group != own_group).then_some(process.group));
            }
        }

        if pids.len() == before {
            break;
        }
    }

    let found = running
        .into_iter()
        .filter(|process| pids.contains(&process.pid));
    found
        .map(|process| Member {
            pid: process.pid,
            started: process.started,
        })
        .collect()
}

/// Every process of this machine that this user can see.
fn processes() -> impl Iterator<Item = Stat> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Stat::of(entry.file_name().to_str()?.parse().ok()?))
}

/// Whether the process was started with this variable. The environment of other users' processes
/// cannot be read.
fn bears(pid: u32, mark: &str) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();

    environment
        .split(|byte| *byte == 0)
        .any(|variable| variable == mark.as_bytes())
}

#[cfg(test)]
mod tests;
