//! `emulator keys`: runs the command `keys` on the database of the emulator. The emulator itself
//! knows no tables.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::backing::postgres;
use crate::cli::KeysArguments;
use crate::settings::Settings;
use crate::{Unusable, data_directory, function_binaries};

/// The name of the program.
const PROGRAM: &str = "keys";
/// What needs no database.
const WITHOUT_DATABASE: [&str; 5] = ["--hash-only", "--help", "-h", "--version", "-V"];

/// Runs the program with these arguments, and ends with its exit status.
pub(crate) async fn run(arguments: &KeysArguments, settings: &Settings) -> anyhow::Result<()> {
    let program = program(settings).await?;
    let mut command = Command::new(&program);
    command.args(&arguments.arguments);

    let needs_none = arguments.arguments.is_empty()
        || arguments
            .arguments
            .iter()
            .any(|argument| WITHOUT_DATABASE.iter().any(|known| argument == known));
    if !needs_none {
        command.env(
            "DATABASE_URL",
            database(settings, arguments.data_dir.as_deref())
                .await?
                .as_str(),
        );
    }

    let status = command
        .status()
        .with_context(|| format!("cannot run {}", program.display()))?;
    match status.code() {
        Some(0) => Ok(()),
        // It has said itself what is wrong.
        Some(code) => std::process::exit(code),
        None => anyhow::bail!("{} was ended by a signal", program.display()),
    }
}

/// The database that the user named, or else that of the emulator that runs.
async fn database(settings: &Settings, named: Option<&Path>) -> anyhow::Result<reqwest::Url> {
    if let Some(url) = &settings.database_url {
        return Ok(url.clone());
    }

    let path = data_directory::chosen(named)?;
    let running = postgres::running(&path).await;
    Ok(running.ok_or_else(|| {
        Unusable(format!(
            "no emulator runs Postgres in {}: start one with `cargo run`, or set DATABASE_URL",
            path.display()
        ))
    })?)
}

/// The program beside this one. Cargo, if it runs this one, builds both first.
async fn program(settings: &Settings) -> anyhow::Result<PathBuf> {
    let directory = if settings.run_by_cargo {
        let project = data_directory::project_directory()?;
        function_binaries::build(&settings.cargo, &project, PROGRAM).await?
    } else {
        let own = std::env::current_exe().context("cannot find this program")?;
        own.parent().map(PathBuf::from).unwrap_or_default()
    };
    Ok(directory.join(PROGRAM))
}
