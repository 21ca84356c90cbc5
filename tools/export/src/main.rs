//! The command that exports whole series to files.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::{Parser, ValueEnum};
use export::report::{Bar, JsonLines, Report};
use export::{Options, export};
use exports::{Format, TextFormat};
use shared::market::{ProviderName, Symbol};
use shared::repository::price_points::Range;
use shared::{config, repository};

const EXAMPLES: &str = "\
Examples:
  export --out points                               every series, as Parquet
  export --out points --symbol AAPL --symbol MSFT   these symbols, of all providers
  export --out points --provider replay --format csv
  export --out march --from 2024-03-01T00:00:00Z --to 2024-04-01T00:00:00Z

Each series becomes a file, <out>/<provider>/<symbol>.<format>, with its points oldest first and
every digit: DECIMAL columns in Parquet, decimals as text in CSV and NDJSON. Characters that file
names cannot have are percent-encoded. A file contains the series as it was at one moment, however long
writing takes.

A file gets its name once it is complete; until then it is hidden and ends in .partial. A series
whose file exists is passed over, so a run that was ended is continued by the same command. --overwrite
writes all files anew.

DATABASE_URL names the database. Memory is bounded: 50,000 points are held at a time. While it
reads a series, upkeep cannot drop old partitions.
Shows a progress bar on a terminal, else prints JSON lines.

Exit status:
  0  all files are complete
  1  Postgres or the file system failed, or a symbol is not stored; complete files stay
  2  wrong usage or configuration";

/// Exports whole series to files: Parquet, CSV or NDJSON
#[derive(Debug, Parser)]
#[command(name = "export", version, after_help = EXAMPLES)]
struct Cli {
    /// The directory of the files; it is created if it does not exist
    #[arg(long, value_name = "DIRECTORY")]
    out: PathBuf,
    /// Only this symbol, as it is stored; may be repeated
    #[arg(long = "symbol", value_name = "SYMBOL")]
    symbols: Vec<Symbol>,
    /// Only series of this provider
    #[arg(long)]
    provider: Option<ProviderName>,
    /// Earliest market time, included
    #[arg(long, value_name = "TIME")]
    from: Option<DateTime<Utc>>,
    /// Latest market time, excluded
    #[arg(long, value_name = "TIME")]
    to: Option<DateTime<Utc>>,
    /// The form of the files
    #[arg(long, value_enum, default_value_t = Form::Parquet)]
    format: Form,
    /// Writes files that exist anew
    #[arg(long)]
    overwrite: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Parquet,
    Csv,
    Ndjson,
}

impl From<Form> for Format {
    fn from(form: Form) -> Self {
        match form {
            Form::Parquet => Self::Parquet,
            Form::Csv => Self::Text(TextFormat::Csv),
            Form::Ndjson => Self::Text(TextFormat::Ndjson),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let url = config::or_exit(config::Export::from_environment())
        .database
        .url;

    let options = Options {
        symbols: cli.symbols,
        provider: cli.provider,
        range: Range {
            from: cli.from,
            to: cli.to,
        },
        format: cli.format.into(),
        directory: cli.out,
        overwrite: cli.overwrite,
    };

    let stdout = std::io::stdout();
    let mut report: Box<dyn Report> = if stdout.is_terminal() {
        Box::new(Bar::new())
    } else {
        Box::new(JsonLines(stdout))
    };

    let done = async {
        let pool = repository::connect(&url, 1)?;
        export(&pool, &options, &mut *report).await
    };
    match done.await {
        Ok(outcome) => {
            report.done(&outcome);
            ExitCode::SUCCESS
        }
        Err(error) => {
            report.failed(&error);
            ExitCode::FAILURE
        }
    }
}
