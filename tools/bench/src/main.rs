//! Measures the pipeline against what limits it: Postgres's own COPY, and Kafka's own consumer.
//!
//! [`averager`] compares the averager's code with a bare COPY, interleaved in one run.
//! [`end_to_end`] runs the whole stack on a real Kafka. [`growth`] measures ingest and reads as the
//! table grows. [`polling`] runs many jobs with short intervals. [`start`] starts the functions one
//! by one. [`gate`] measures what a request to a provider costs before it is sent. The first three
//! also check that what was stored is right, so that no figure comes from wrong results.

mod averager;
mod bench;
mod binaries;
mod busy_core;
mod cli;
mod correctness;
mod cpu;
mod end_to_end;
mod feed;
mod figures;
mod gate;
mod growth;
mod machine;
mod polling;
mod postgres;
mod progress;
mod report;
mod runtime_api;
mod start;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use bench::Bench;
use cli::{Cli, Command};
use progress::Progress;
use report::Report;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ran = match arguments.split_first() {
        // The benchmark's own child processes.
        Some((option, [])) if option == busy_core::OPTION => {
            busy_core::keep_busy();
            Ok(())
        }
        Some((option, rest)) if option == end_to_end::BARE_LOOP => {
            end_to_end::run_bare_loop(rest).await
        }
        _ => run(&Cli::parse()).await,
    };

    match ran {
        Ok(()) => ExitCode::SUCCESS,
        // Not returned from `main`, which would print it with a backtrace, for developers.
        Err(error) => {
            let _gone = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: &Cli) -> anyhow::Result<()> {
    let binaries = binaries::directory(cli)?;
    let progress = Progress::start();
    let server = postgres::Server::start(cli, &binaries).await?;
    let report = Report::new(machine::describe(&server).await?);
    let mut bench = Bench {
        cli,
        binaries: &binaries,
        progress: &progress,
        server,
        report,
    };

    // What was measured before an error is printed, too.
    let measured = measure(&mut bench).await;

    let Bench {
        server, mut report, ..
    } = bench;
    report.finish();
    server.stop().await?;
    drop(progress);
    report.print(cli.output)?;
    measured
}

/// Runs what the command names, or everything.
async fn measure(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let named = bench.cli.command;
    let wanted = |command: Command| named.is_none_or(|only| only == command);
    let part_of_end_to_end = matches!(named, Some(Command::Latency | Command::Throughput));

    if wanted(Command::Averager) {
        averager::run(bench).await?;
    }
    if wanted(Command::EndToEnd) || part_of_end_to_end {
        end_to_end::run(bench).await?;
    }
    if wanted(Command::Growth) {
        growth::run(bench).await?;
    }
    if wanted(Command::Polling) {
        polling::run(bench).await?;
    }
    if wanted(Command::Start) {
        let functions = binaries::functions(bench.cli, bench.binaries)?;
        start::run(bench, &functions).await?;
    }
    if wanted(Command::Gate) {
        gate::run(bench).await?;
    }
    Ok(())
}
