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
    assert!(!kill_is_pending(
        "SigPnd:\t0000000000000000\nShdPnd:\t0000000000004000\n"
    ));
}
