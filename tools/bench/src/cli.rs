//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures the pipeline against what limits it, and compares the figures with their thresholds.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
pub(crate) struct Cli {
    /// What to measure [default: everything]
    #[arg(value_enum)]
    pub(crate) command: Option<Command>,
    /// Takes a minute or two instead of ten, for less reliable figures
    #[arg(long)]
    pub(crate) quick: bool,
    /// The number of rounds in which contenders take turns [default: 3, with --quick 1]
    #[arg(long)]
    pub(crate) rounds: Option<usize>,
    /// How to print the results [default: text on a terminal, otherwise JSON]
    #[arg(long, value_enum)]
    pub(crate) output: Option<OutputFormat>,
    /// The number of events in each end-to-end run
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) events: usize,
    /// The number of points up to which the table grows, in millions
    #[arg(long, default_value_t = 10)]
    pub(crate) millions: usize,
    /// Takes the emulator and the functions from this folder instead of building them
    #[arg(long, value_name = "DIR")]
    pub(crate) bin_dir: Option<PathBuf>,
    /// Lets the emulator and the functions in this folder, of another build, take turns with those
    /// that are measured
    #[arg(long, value_name = "DIR")]
    pub(crate) against: Option<PathBuf>,
    /// Measures the starts of the functions in this folder, built by cargo or cargo-lambda
    #[arg(long, value_name = "DIR")]
    pub(crate) functions_dir: Option<PathBuf>,
    /// A Postgres to measure, in which databases are created and dropped [default: one of its own]
    #[arg(
        long,
        env = "BENCH_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) database_url: Option<String>,
}

impl Cli {
    /// The number of rounds in which contenders take turns.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { 3 }).max(1)
    }
}

/// The benchmarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Command {
    /// The averager's code against COPY, UNNEST and storing one by one
    Averager,
    /// The whole stack on a real Kafka
    EndToEnd,
    /// Of end-to-end only the latency
    Latency,
    /// Of end-to-end only the rate and the CPU from a full topic
    Throughput,
    /// Ingest and reads while the table grows
    Growth,
    /// Many jobs with short intervals: delay, processes, memory, CPU
    Polling,
    /// Start, size and memory of the functions' binaries
    Start,
    /// What a request costs at the gate of its provider: budget, breaker and lease
    Gate,
}

/// The form of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Aligned tables
    Text,
    /// One JSON object
    Json,
}
