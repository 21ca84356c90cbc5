use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{end, members};
use crate::function_host::liveness;

/// Starts a shell with this mark in a group of its own. The shell runs `script` and then makes the
/// file `ready`.
fn leader(mark: &str, script: &str, ready: &Path) -> Child {
    let (name, value) = mark.split_once('=').unwrap();
    let child = Command::new("sh")
        .arg("-c")
        .arg(format!("{script}\ntouch {}; sleep 600", ready.display()))
        .env(name, value)
        .process_group(0)
        .spawn()
        .expect("there is a shell");

    eventually(|| ready.exists());
    child
}

fn eventually(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "it does not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn mark() -> String {
    format!("TEST_MARK={}", Uuid::new_v4())
}

#[test]
fn what_an_ended_process_started_is_ended_in_whatever_group_session_or_environment() {
    let directory = tempfile::tempdir().unwrap();
    let mark = mark();
    let script = "sleep 601 & env -i sleep 602 & setsid sleep 603 & sh -c 'setsid env -i sleep 604 & wait' &";
    let mut process = leader(&mark, script, &directory.path().join("ready"));
    let pid = process.id();

    // The shell, its last sleep, and the five processes of the script.
    eventually(|| members(None, &mark).len() == 7);

    process.kill().unwrap();
    process.wait().unwrap();

    assert_eq!(end(pid, &mark, BTreeSet::new()), 6);
    assert!(members(Some(pid), &mark).is_empty());
}

#[test]
fn strangers_are_left_alone() {
    let mut stranger = Command::new("sleep")
        .arg("600")
        .process_group(0)
        .spawn()
        .unwrap();
    let mut of_our_group = Command::new("sleep").arg("600").spawn().unwrap();

    // An unrelated process that now has the id of a leader that has ended.
    assert_eq!(end(stranger.id(), &mark(), BTreeSet::new()), 0);

    for process in [&mut stranger, &mut of_our_group] {
        assert!(liveness::is_alive(process.id()));
        process.kill().unwrap();
        process.wait().unwrap();
    }
}
