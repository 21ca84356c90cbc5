use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use super::{ProcessFile, end_leftovers};

fn sleeper() -> (Child, PathBuf) {
    let child = Command::new("sleep")
        .arg("600")
        .process_group(0)
        .spawn()
        .expect("sleep runs");

    // `/proc` shows the program only once the child has executed it.
    let exe = format!("/proc/{}/exe", child.id());

    let own = std::env::current_exe().expect("this program has a name");
    let mut program = own.clone();
    while program == own {
        program = std::fs::read_link(&exe).expect("the child runs");
        std::thread::yield_now();
    }

    (child, program)
}

fn files(directory: &Path) -> usize {
    std::fs::read_dir(directory)
        .expect("the directory is there")
        .count()
}

#[test]
fn a_process_that_a_file_names_is_ended_and_the_file_removed() {
    let directory = tempfile::tempdir().unwrap();
    let (mut child, program) = sleeper();

    std::mem::forget(
        ProcessFile::write(
            directory.path(),
            "market-data-api",
            child.id(),
            &program,
            "M=1",
        )
        .unwrap(),
    );

    let ended = end_leftovers(directory.path());

    assert_eq!(ended, [format!("market-data-api (process {})", child.id())]);
    assert!(!child.wait().unwrap().success());
    assert_eq!(files(directory.path()), 0);
}

#[test]
fn a_stranger_with_the_same_process_id_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();

    let (mut child, program) = sleeper();
    let pid = child.id();
    let other_time = format!("{pid}\n1\n{}\n", program.display());

    std::fs::write(directory.path().join(format!("a-{pid}.pid")), other_time).unwrap();
    std::mem::forget(
        ProcessFile::write(directory.path(), "b", pid, Path::new("/bin/other"), "M=2").unwrap(),
    );
    std::fs::write(directory.path().join("c-1.pid"), "no process file").unwrap();

    assert!(end_leftovers(directory.path()).is_empty());
    assert_eq!(child.try_wait().unwrap(), None);
    assert_eq!(files(directory.path()), 0);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_file_goes_when_its_process_was_seen_to_end() {
    let directory = tempfile::tempdir().unwrap();
    let file = ProcessFile::write(
        directory.path(),
        "a",
        std::process::id(),
        Path::new("/bin/a"),
        "M=3",
    )
    .unwrap();

    assert_eq!(files(directory.path()), 1);

    drop(file);
    assert_eq!(files(directory.path()), 0);
}

#[test]
fn what_an_ended_process_started_is_ended_too() {
    let directory = tempfile::tempdir().unwrap();
    let (mut leader, program) = sleeper();

    let mark = format!("LEFTOVER_TEST={}", uuid::Uuid::new_v4());
    let (name, value) = mark.split_once('=').unwrap();
    let mut child = Command::new("sleep")
        .arg("600")
        .env(name, value)
        .process_group(0)
        .spawn()
        .expect("sleep runs");
    std::mem::forget(
        ProcessFile::write(directory.path(), "api", leader.id(), &program, &mark).unwrap(),
    );

    leader.kill().unwrap();
    leader.wait().unwrap();

    let ended = end_leftovers(directory.path());
    assert_eq!(ended, [format!("api (process {})", leader.id())]);
    assert!(!child.wait().unwrap().success());
}
