//! The binaries under test, built as `cargo run` builds them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, ensure};

/// The folder with the built emulator and functions: the one that `TEST_BIN_DIR` names, otherwise
/// the folder of this binary. The first call in a process builds them there.
///
/// # Errors
/// When cargo cannot build them.
pub fn directory() -> anyhow::Result<&'static Path> {
    static DIRECTORY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match DIRECTORY.get_or_init(|| build().map_err(|error| format!("{error:#}"))) {
        Ok(directory) => Ok(directory),
        Err(error) => anyhow::bail!("{error}"),
    }
}

/// The folder with the functions that stacks run: the one that `TEST_FUNCTIONS_DIR` names, built by
/// cargo or by cargo-lambda, otherwise that of the emulator.
///
/// # Errors
/// When cargo cannot build them.
pub fn functions() -> anyhow::Result<PathBuf> {
    // Relative to the workspace's root, because tests run in their package's folder.
    named("TEST_FUNCTIONS_DIR").map_or_else(
        || directory().map(Path::to_path_buf),
        |directory| Ok(workspace().join(directory)),
    )
}

#[expect(clippy::disallowed_methods, reason = "the tests' own configuration")]
fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable)
        .filter(|directory| !directory.is_empty())
        .map(PathBuf::from)
}

fn build() -> anyhow::Result<PathBuf> {
    if let Some(directory) = named("TEST_BIN_DIR") {
        return Ok(directory);
    }

    // A test runs from target/<profile>/deps; the binaries are one folder above.
    let this = std::env::current_exe().context("where this binary lies")?;
    let directory = this.parent().context("this binary lies nowhere")?;
    let directory = directory
        .parent()
        .filter(|_| directory.ends_with("deps"))
        .unwrap_or(directory);

    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--workspace", "--bins", "--quiet"])
        .current_dir(workspace());
    if directory
        .file_name()
        .is_some_and(|profile| profile == "release")
    {
        cargo.arg("--release");
    }

    ensure!(
        cargo.status().context("starting cargo")?.success(),
        "cargo could not build the binaries"
    );

    Ok(directory.to_path_buf())
}

/// The workspace's root folder.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or_else(|| Path::new("."))
}
