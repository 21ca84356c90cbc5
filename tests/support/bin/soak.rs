//! The fault suite without an end: random runs one after the other for the time asked for, with a
//! line each minute.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Parser, value_parser};
use e2e::faults::cases;
use e2e::faults::run::{Case, run};
use e2e::faults::site::Ground;
use tokio::time::interval;

const BETWEEN_LINES: Duration = Duration::from_secs(60);
/// A day. A longer soak is most likely a typing error.
const MOST_MINUTES: u64 = 24 * 60;

const EXAMPLES: &str = "\
Examples:
  soak                          half an hour from a random seed, which is printed
  soak --minutes 5 --seed 42    five minutes of the runs that follow from this seed

Builds and starts what it needs: the emulator, the functions, Postgres and Kafka, each in a directory of its own.
A run that breaks a promise ends the soak. The same --seed makes the same runs in the same order.

Exit status:
  0  every run held
  1  a promise was broken, or a run could not be made
  2  wrong usage";

/// Runs the fault suite again and again, with random faults, and prints a line each minute
#[derive(Debug, Parser)]
#[command(name = "soak", version, after_help = EXAMPLES)]
struct Cli {
    /// How long to start new runs for; the last one is finished
    #[arg(long, default_value_t = 30, value_parser = value_parser!(u64).range(1..=MOST_MINUTES))]
    minutes: u64,
    /// The seed of the first run; each later run takes the next one [default: a random one]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

#[derive(Default)]
struct Totals {
    runs: u64,
    faults: usize,
    acknowledged: usize,
    points: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { minutes, seed } = Cli::parse();
    let length = Duration::from_secs(minutes * 60);

    match soak(length, seed.unwrap_or_else(rand::random)).await {
        Ok(()) => ExitCode::SUCCESS,
        // Not returned from `main`, which would print it with a backtrace, for developers.
        Err(error) => {
            let _gone = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn soak(length: Duration, seed: u64) -> anyhow::Result<()> {
    let ground = Ground::start().await?;
    let (started, mut totals) = (Instant::now(), Totals::default());

    let mut minutes = interval(BETWEEN_LINES);
    // The first tick of an interval completes at once.
    minutes.tick().await;

    say(&format!(
        "soaking for {} minutes from seed {seed}",
        length.as_secs() / 60
    ));

    while started.elapsed() < length {
        let seed = seed.wrapping_add(totals.runs);
        let case = case(totals.runs, seed);
        let mut running = Box::pin(run(&ground, &case, seed));

        let report = loop {
            tokio::select! {
                report = &mut running => break report,
                _ = minutes.tick() => progress(started, &totals, &case, seed),
            }
        };

        let checked = report
            .with_context(|| format!("{} (seed {seed}) broke a promise", case.name))?
            .checked;

        totals.runs += 1;
        totals.faults += case.faults.len();
        totals.acknowledged += checked.acknowledged;
        totals.points += checked.points;
    }

    let Totals {
        runs,
        faults,
        acknowledged,
        points,
    } = totals;
    say(&format!(
        "held: {runs} runs, {faults} faults, {acknowledged} acknowledged records, {points} points"
    ));

    Ok(())
}

/// Every named case in turn, with a random mixture after each.
fn case(number: u64, seed: u64) -> Case {
    let named = usize::try_from(number / 2).unwrap_or_default() % cases::EACH.len();

    if number.is_multiple_of(2) {
        cases::EACH[named]()
    } else {
        Case::mixed(seed)
    }
}

fn progress(started: Instant, totals: &Totals, case: &Case, seed: u64) {
    let Totals {
        runs,
        faults,
        acknowledged,
        ..
    } = totals;

    say(&format!(
        "{:>3} min: {runs} runs held, {faults} faults, {acknowledged} records; now {} (seed {seed})",
        started.elapsed().as_secs() / 60,
        case.name
    ));
}

#[expect(clippy::print_stdout, reason = "what the command is for")]
fn say(line: &str) {
    println!("{line}");
}
