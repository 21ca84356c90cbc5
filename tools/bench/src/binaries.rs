//! The binaries that the benchmark starts, built as `cargo run` builds them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::cli::Cli;

/// The folder with the emulator and the functions: the one given, otherwise the benchmark's own,
/// after a build with its profile.
pub(crate) fn directory(cli: &Cli) -> anyhow::Result<PathBuf> {
    if let Some(directory) = &cli.bin_dir {
        return directory
            .canonicalize()
            .with_context(|| format!("--bin-dir {}", directory.display()));
    }

    let own = std::env::current_exe().context("where this benchmark's binary lies")?;
    let directory = own
        .parent()
        .context("this benchmark's binary lies nowhere")?
        .to_owned();

    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--workspace", "--bins"])
        .current_dir(workspace());
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }

    ensure!(
        cargo.status().context("starting cargo")?.success(),
        "cargo could not build the binaries"
    );

    Ok(directory)
}

/// The folder with the functions whose starts are measured: the one given, otherwise `binaries`.
pub(crate) fn functions(cli: &Cli, binaries: &Path) -> anyhow::Result<PathBuf> {
    let given = cli.functions_dir.as_deref().unwrap_or(binaries);
    given
        .canonicalize()
        .with_context(|| format!("--functions-dir {}", given.display()))
}

/// The workspace's root folder.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap_or_else(|| Path::new("."))
}
