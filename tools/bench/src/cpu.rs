//! CPU time and memory of processes, read from `/proc`.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// The unit in which the kernel reports CPU time to user space; its own tick may differ.
const TICK: Duration = Duration::from_millis(10);

/// A process with its parent, its own CPU time, and that time with the one of its children that
/// have ended.
struct Process {
    pid: u32,
    parent: u32,
    own: Duration,
    with_gone_children: Duration,
}

/// CPU time of this process, all threads included.
pub(crate) fn of_this_process() -> Duration {
    read(std::process::id()).map_or(Duration::ZERO, |process| process.own)
}

/// CPU time of a process and of all its descendants, including those that have ended.
pub(crate) fn of_tree(root: u32) -> Duration {
    tree(root)
        .iter()
        .map(|process| process.with_gone_children)
        .sum()
}

/// CPU time of each running descendant of `root` whose command is `name`, by pid.
pub(crate) fn of_children_named(root: u32, name: &str) -> HashMap<u32, Duration> {
    let named = |process: &&Process| command(process.pid).as_deref() == Some(name);
    tree(root)
        .iter()
        .filter(named)
        .map(|process| (process.pid, process.own))
        .collect()
}

/// Pids of the running descendants of `root` whose command is `name`.
pub(crate) fn children_named(root: u32, name: &str) -> Vec<u32> {
    tree(root)
        .iter()
        .map(|process| process.pid)
        .filter(|pid| command(*pid).as_deref() == Some(name))
        .collect()
}

/// The pid of a process's parent.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    read(pid).map(|process| process.parent)
}

/// The most memory that a process has held, in MiB.
pub(crate) fn peak_memory(pid: u32) -> Option<f64> {
    mebibytes(pid, "VmHWM:")
}

/// The resident memory of a process, in MiB.
pub(crate) fn memory(pid: u32) -> Option<f64> {
    mebibytes(pid, "VmRSS:")
}

fn mebibytes(pid: u32, field: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;

    line.split_whitespace()
        .next()?
        .parse::<f64>()
        .ok()
        .map(|kibibytes| kibibytes / 1024.0)
}

/// A process's command, as `ps` shows it without its path.
pub(crate) fn command(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .ok()
        .map(|name| name.trim_end().to_owned())
}

/// `root` and all its descendants.
fn tree(root: u32) -> Vec<Process> {
    let mut rest: Vec<Process> = all();
    let mut found: Vec<Process> = rest.extract_if(.., |process| process.pid == root).collect();

    let mut next = 0;
    while let Some(pid) = found.get(next).map(|process| process.pid) {
        found.extend(rest.extract_if(.., |process| process.parent == pid));
        next += 1;
    }

    found
}

fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };

    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());

    pids.filter_map(read).collect()
}

/// Reads `/proc/PID/stat`. Fields are counted after the command, which may contain spaces and
/// brackets.
fn read(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();

    let ticks = |field: usize| fields.get(field)?.parse::<u32>().ok();
    let own = ticks(11)? + ticks(12)?;
    let gone = ticks(13)? + ticks(14)?;
    let parent = fields.get(1)?.parse().ok()?;

    Some(Process {
        pid,
        parent,
        own: TICK * own,
        with_gone_children: TICK * (own + gone),
    })
}
