//! Whether a process still runs, as the kernel shows it before the process's exit is collected.

/// `PF_EXITING` among the task flags of `/proc/<pid>/stat`.
const EXITING: u64 = 0x4;

/// SIGKILL's bit in the signal masks of `/proc/<pid>/status`.
const KILL_PENDING: u64 = 1 << 8;

/// The state of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// It runs.
    Runs,
    /// A signal has stopped it, and another may resume it.
    Stopped,
    /// It has ended, or is about to be killed.
    Ended,
}

/// The state of a process. The connections of a killed process close a moment later; the kernel
/// shows its end at once, so it is given no request in between. A process that a debugger holds
/// counts as running.
pub(super) fn of(pid: u32) -> Life {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}"));

    match (read("stat"), read("status")) {
        (Ok(stat), Ok(status)) if runs(&stat) && !kill_is_pending(&status) => match field(&stat, 3)
        {
            Some("T") => Life::Stopped,
            _ => Life::Runs,
        },
        _ => Life::Ended,
    }
}

/// Whether the process exists and is not about to be killed.
#[cfg(test)]
pub(super) fn is_alive(pid: u32) -> bool {
    of(pid) != Life::Ended
}

/// The fields of `/proc/<pid>/stat` that identify a process and its relatives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stat {
    pub(super) pid: u32,
    pub(super) parent: u32,
    pub(super) group: u32,
    pub(super) started: u64,
    dead: bool,
}

impl Stat {
    /// `None` if there is no such process.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let number = |field_number| field(&stat, field_number)?.parse().ok();

        Some(Self {
            pid,
            parent: number(4)?,
            group: number(5)?,
            started: field(&stat, 22)?.parse().ok()?,
            dead: is_dead(field(&stat, 3)?),
        })
    }

    /// Whether it has ended and only waits to be collected.
    pub(super) fn is_dead(&self) -> bool {
        self.dead
    }
}

/// The start time of a process, in clock ticks since boot. Together with the process id it
/// identifies a process.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    field(&stat, 22)?.parse().ok()
}

/// Whether the process with this start time exists and does not only wait to be collected.
pub(crate) fn is_running_since(pid: u32, started: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();

    field(&stat, 3).is_some_and(|state| !is_dead(state))
        && field(&stat, 22).and_then(|time| time.parse().ok()) == Some(started)
}

fn runs(stat: &str) -> bool {
    let flags = field(stat, 9)
        .and_then(|flags| flags.parse::<u64>().ok())
        .unwrap_or_default();

    field(stat, 3).is_some_and(|state| !is_dead(state)) && flags & EXITING == 0
}

fn is_dead(state: &str) -> bool {
    matches!(state, "Z" | "X" | "x")
}

fn kill_is_pending(status: &str) -> bool {
    let masks = status
        .lines()
        .filter(|line| line.starts_with("SigPnd:") || line.starts_with("ShdPnd:"));

    masks
        .filter_map(|line| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok())
        .any(|mask| mask & KILL_PENDING != 0)
}

/// The field with this number, counted as in proc(5). The second field, the program's name, may
/// contain spaces and brackets.
fn field(stat: &str, number: usize) -> Option<&str> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(number.checked_sub(3)?)
}

#[cfg(test)]
mod tests;
