//! The function binaries, built by the cargo that built the emulator, with the same profile.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// The profile of this very binary, so that `cargo run --release` runs optimised functions.
const PROFILE: &str = if cfg!(debug_assertions) {
    "dev"
} else {
    "release"
};

/// The path of `binary` in `directory`: a file of that name, as cargo builds it, or `bootstrap` in
/// a folder of that name, as cargo-lambda does.
pub(crate) fn path(directory: &Path, binary: &str) -> PathBuf {
    let own = directory.join(binary);
    if own.is_dir() {
        own.join("bootstrap")
    } else {
        own
    }
}

/// Cargo's message about an artifact. Only those of executables matter.
#[derive(Debug, Deserialize)]
struct Message {
    executable: Option<PathBuf>,
}

/// Builds every binary of the project and returns the directory of `binary`. Cargo prints its
/// progress itself.
pub(crate) async fn build(cargo: &str, project: &Path, binary: &str) -> anyhow::Result<PathBuf> {
    let mut child = Command::new(cargo)
        .args(["build", "--workspace", "--bins", "--profile", PROFILE])
        .arg("--message-format=json-render-diagnostics")
        .arg("--manifest-path")
        .arg(project.join("Cargo.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| {
            format!("cannot run {cargo} to build the functions; --bin-dir takes built ones")
        })?;

    // Cargo leads a group of its own. The group is ended when this future is dropped.
    let _compilers = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .map(Group);

    let mut messages = BufReader::new(child.stdout.take().context("no standard output")?).lines();
    let mut directory = None;

    while let Some(line) = messages.next_line().await? {
        let executable = serde_json::from_str(&line)
            .ok()
            .and_then(|message: Message| message.executable);

        if let Some(executable) =
            executable.filter(|path| path.file_name().is_some_and(|name| name == binary))
        {
            directory = executable.parent().map(Path::to_owned);
        }
    }

    anyhow::ensure!(
        child.wait().await?.success(),
        "the functions do not build; cargo says above why"
    );

    directory.with_context(|| {
        format!(
            "the project in {} has no binary named {binary}",
            project.display()
        )
    })
}

/// Cargo and the compilers that it started. They are ended when this is dropped.
struct Group(i32);

impl Drop for Group {
    fn drop(&mut self) {
        let _ended = killpg(Pid::from_raw(self.0), Signal::SIGTERM);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_found_where_cargo_puts_it_and_where_cargo_lambda_does() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("api")).unwrap();
        std::fs::write(directory.path().join("poller"), "").unwrap();

        assert_eq!(
            path(directory.path(), "api"),
            directory.path().join("api/bootstrap")
        );
        assert_eq!(
            path(directory.path(), "poller"),
            directory.path().join("poller")
        );
    }
}
