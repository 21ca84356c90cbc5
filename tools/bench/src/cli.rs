//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures the pipeline against what limits it, and holds the figures against their thresholds.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
pub(crate) struct Cli {
    /// What to measure [default: everything]
    #[arg(value_enum)]
    pub(crate) command: Option<Command>,
    /// A minute or two instead of ten, and figures that are worth less
    #[arg(long)]
    pub(crate) quick: bool,
    /// How to print the results [default: text on a terminal, else JSON]
    #[arg(long, value_enum)]
    pub(crate) output: Option<OutputFormat>,
    /// Events of each end-to-end run
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) events: usize,
    /// Points up to which the table grows, in millions
    #[arg(long, default_value_t = 10)]
    pub(crate) millions: usize,
    /// Takes the emulator and the functions from here instead of building them
    #[arg(long, value_name = "DIR")]
    pub(crate) bin_dir: Option<PathBuf>,
    /// Takes the functions whose starts are measured from here: what cargo or cargo-lambda built
    #[arg(long, value_name = "DIR")]
    pub(crate) functions_dir: Option<PathBuf>,
    /// A Postgres to measure on; databases are made and dropped in it [default: one of its own]
    #[arg(
        long,
        env = "BENCH_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) database_url: Option<String>,
}

/// The benchmarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Command {
    /// The averager's code against COPY, UNNEST and the per-event way
    Averager,
    /// The whole stack on a real Kafka
    EndToEnd,
    /// Ingest and reads while the table grows
    Growth,
    /// Start, size and memory of the functions' binaries
    Start,
}

/// The form of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Aligned tables
    Text,
    /// One JSON object
    Json,
}
