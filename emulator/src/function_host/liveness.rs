//! Whether a process still runs, as the kernel tells before its exit has been collected.

/// `PF_EXITING` among the task flags of `/proc/<pid>/stat`.
const EXITING: u64 = 0x4;

/// SIGKILL's bit in the signal masks of `/proc/<pid>/status`.
const KILL_PENDING: u64 = 1 << 8;

/// Whether the process runs and is not about to be killed. Its connections close a moment after it was killed; this
/// tells at once, so that no request is given to it in between.
pub(super) fn is_alive(pid: u32) -> bool {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}"));
    match (read("stat"), read("status")) {
        (Ok(stat), Ok(status)) => runs(&stat) && !kill_is_pending(&status),
        _ => false,
    }
}

/// When the process started, in clock ticks since boot: with the process id it names a process once and for all.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    field(&stat, 22)?.parse().ok()
}

/// Whether the process with this start time is there and not merely waiting to be collected.
pub(crate) fn is_running_since(pid: u32, started: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    field(&stat, 3).is_some_and(|state| !is_dead(state))
        && field(&stat, 22).and_then(|time| time.parse().ok()) == Some(started)
}

fn runs(stat: &str) -> bool {
    let flags = field(stat, 9).and_then(|flags| flags.parse::<u64>().ok()).unwrap_or_default();
    field(stat, 3).is_some_and(|state| !is_dead(state)) && flags & EXITING == 0
}

fn is_dead(state: &str) -> bool {
    matches!(state, "Z" | "X" | "x")
}

fn kill_is_pending(status: &str) -> bool {
    let masks = status.lines().filter(|line| line.starts_with("SigPnd:") || line.starts_with("ShdPnd:"));
    masks
        .filter_map(|line| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok())
        .any(|mask| mask & KILL_PENDING != 0)
}

/// The field with this number, counted as proc(5) does. The second, the program's name, may hold spaces and brackets.
fn field(stat: &str, number: usize) -> Option<&str> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(number.checked_sub(3)?)
}

#[cfg(test)]
mod tests {
    use super::{is_alive, is_running_since, kill_is_pending, runs, start_time};

    #[test]
    fn this_process_is_alive_and_no_process_has_the_id_zero() {
        let pid = std::process::id();
        assert!(is_alive(pid));
        assert!(is_running_since(pid, start_time(pid).unwrap()));
        assert!(!is_running_since(pid, start_time(pid).unwrap() + 1));
        assert!(!is_alive(0));
    }

    #[test]
    fn a_process_that_waits_to_be_collected_exits_or_is_being_killed_is_not_alive() {
        assert!(runs("7 (a) b) S 1 7 7 0 -1 4194560 1 0"));
        assert!(!runs("7 (a) b) Z 1 7 7 0 -1 4194560 1 0"));
        assert!(!runs("7 (a) b) R 1 7 7 0 -1 4194564 1 0"));
        assert!(kill_is_pending(
            "State:\tS (sleeping)\nSigPnd:\t0000000000000100\nShdPnd:\t0000000000000000\n"
        ));
        assert!(!kill_is_pending("SigPnd:\t0000000000000000\nShdPnd:\t0000000000004000\n"));
    }
}
