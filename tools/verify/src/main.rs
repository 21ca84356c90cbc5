//! The command that proves the stored averages.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use shared::market::{ProviderName, Symbol};
use shared::repository::verification::{Difference, Scope, Verified, What, verify};
use shared::{config, repository};
use tokio::time::Instant;

const EXAMPLES: &str = "\
Examples:
  verify                     computes all averages again, and prints each value that differs
  verify --symbol AAPL       those of one symbol

DATABASE_URL names the database. Nothing is changed in it. Prints one JSON object per line.

Exit status:
  0  everything is as it follows from the points
  1  Postgres failed
  2  wrong usage or configuration
  3  some values differ";

/// How long one snapshot of the database is used.
const SNAPSHOT: Duration = Duration::from_secs(30);

/// Computes the stored averages again from the points, and prints what differs
#[derive(Debug, Parser)]
#[command(name = "verify", version, after_help = EXAMPLES)]
struct Cli {
    /// Verifies only the series of this symbol
    #[arg(long)]
    symbol: Option<Symbol>,
    /// Verifies only the series of this provider
    #[arg(long)]
    provider: Option<ProviderName>,
}

/// The numbers of everything that was verified.
#[derive(Default)]
struct Totals {
    series: u64,
    points: u64,
    unprovable: u64,
    differences: usize,
}

impl Totals {
    fn add(&mut self, verified: &Verified) {
        self.series += verified.series;
        self.points += verified.points;
        self.unprovable += verified.unprovable;
        self.differences += verified.differences.len();
    }

    fn line(&self, event: &str) -> String {
        let Self {
            series,
            points,
            unprovable,
            differences,
        } = self;
        json!({
            "event": event, "series": series, "points": points, "unprovable": unprovable, "differences": differences,
        })
        .to_string()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let url = config::or_exit(config::Verify::from_environment())
        .database
        .url;
    let scope = Scope {
        symbol: cli.symbol,
        provider: cli.provider,
    };

    match run(&url, &scope).await {
        Ok(totals) => {
            print(&totals.line("verified"));
            ExitCode::from(if totals.differences > 0 { 3 } else { 0 })
        }
        Err(error) => {
            let _gone = writeln!(std::io::stderr(), "error: {}", error.detail());
            ExitCode::FAILURE
        }
    }
}

async fn run(url: &str, scope: &Scope) -> Result<Totals, repository::Error> {
    let pool = repository::connect(url, 1)?;
    let (mut totals, mut from) = (Totals::default(), None);

    loop {
        let verified = verify(&pool, scope, from, Instant::now() + SNAPSHOT).await?;
        for difference in &verified.differences {
            print(&line(difference));
        }
        totals.add(&verified);

        from = verified.next;
        if from.is_none() {
            return Ok(totals);
        }
        print(&totals.line("progress"));
    }
}

fn line(difference: &Difference) -> String {
    let value = match difference.what {
        What::MovingAverage => "moving_average",
        What::Points => "points",
        What::Newest => "newest_point",
    };
    json!({
        "event": "difference", "symbol": difference.symbol, "provider": difference.provider,
        "timestamp": difference.timestamp, "value": value, "stored": difference.stored,
        "expected": difference.expected,
    })
    .to_string()
}

fn print(line: &str) {
    // The command goes on even if nothing reads its output any more.
    let _gone = writeln!(std::io::stdout(), "{line}");
}
