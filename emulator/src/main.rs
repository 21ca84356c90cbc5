//! Runs the pipeline on one machine: starts the function binaries and provides what AWS would
//! provide around them.
//!
//! Each part speaks the protocol of its counterpart in AWS, so each can be replaced, and the
//! functions cannot tell the difference: [`function_host`] (Lambda's Runtime API), [`gateway`] (API
//! Gateway's HTTP API), [`scheduler`] (EventBridge Scheduler) and [`event_source_mapping`]
//! (Lambda's poller for Kafka). `template.yaml` declares how they are wired. [`backing`] provides
//! Postgres and a broker to users who have none.

mod announcements;
mod backing;
mod cli;
mod data_directory;
mod database_url;
mod function_binaries;
mod health_command;
mod health_note;
mod keys_command;
mod log;
mod output;
mod postgres_command;
mod private_file;
mod settings;
mod signals;
mod stack;

mod async_invocation;
mod body;
mod clock;
mod event_source_mapping;
mod function_host;
mod gateway;
mod invoke_api;
mod invoker;
mod pauses;
mod per_function;
mod remote_host;
mod scheduler;
mod template;
mod topic_name;
mod visitors;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use cli::{Cli, Command};
use settings::Settings;

/// The request cannot be carried out as it was made: invalid flags or variables, a port or a
/// directory that is taken. The process exits with status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unusable(pub(crate) String);

/// How long to wait until the last lines are written.
const LAST_LINES: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let code = run_as_asked();
    // The threads that write the output end with the process.
    output::flush(LAST_LINES);

    code
}

fn run_as_asked() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refusal) if refusal.use_stderr() => return complain_of_flags(&refusal),
        Err(answer) => {
            let _gone = answer.print();
            return ExitCode::SUCCESS;
        }
    };

    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::from(if error.is::<Unusable>() { 2 } else { 1 })
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let settings = Settings::from_environment().map_err(|invalid| Unusable(invalid.to_string()))?;
    log::start(settings.log_filter.as_deref());

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()?;

    let outcome = match cli.command {
        Some(Command::Postgres(arguments)) => {
            runtime.block_on(postgres_command::run(&arguments, &settings))
        }
        Some(Command::Health(arguments)) => runtime.block_on(health_command::run(&arguments)),
        Some(Command::Keys(arguments)) => {
            runtime.block_on(keys_command::run(&arguments, &settings))
        }
        None => runtime.block_on(stack::run(&cli.stack, &settings)),
    };

    // Everything that matters has ended. A blocking call that still runs must not delay the exit.
    runtime.shutdown_background();
    outcome
}

/// Reports invalid flags in one line, as every other error.
fn complain_of_flags(refusal: &clap::Error) -> ExitCode {
    let text = refusal.to_string();
    let line = text
        .lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ");

    complain(&anyhow::anyhow!("{line} (see --help)"));
    ExitCode::from(2)
}

/// Writes one line to standard error, whether or not it is read.
fn complain(error: &anyhow::Error) {
    output::error().write(format!("error: {error:#}\n").into_bytes());
}
