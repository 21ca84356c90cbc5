//! The fault suite without an end: random runs one after the other, for as long as asked, with a line each minute.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use e2e::faults::cases;
use e2e::faults::run::{Case, run};
use e2e::faults::site::Ground;
use tokio::time::interval;

const USAGE: &str = "usage: soak [--minutes 30] [--seed N]";
const BETWEEN_LINES: Duration = Duration::from_secs(60);

struct Arguments {
    length: Duration,
    seed: u64,
}

impl Arguments {
    fn read(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut read = Self { length: Duration::from_secs(30 * 60), seed: rand::random() };
        while let Some(name) = arguments.next() {
            let value = arguments.next().and_then(|value| value.parse::<u64>().ok()).context(USAGE)?;
            match name.as_str() {
                "--minutes" => read.length = Duration::from_secs(value.saturating_mul(60)),
                "--seed" => read.seed = value,
                _ => bail!(USAGE),
            }
        }
        Ok(read)
    }
}

#[derive(Default)]
struct Totals {
    runs: u64,
    faults: usize,
    acknowledged: usize,
    points: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { length, seed } = Arguments::read(std::env::args().skip(1))?;
    let ground = Ground::start().await?;
    let (started, mut totals) = (Instant::now(), Totals::default());
    let mut minutes = interval(BETWEEN_LINES);
    minutes.tick().await;
    say(&format!("soaking for {} minutes from seed {seed}", length.as_secs() / 60));
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
        let checked = report.with_context(|| format!("{} (seed {seed}) broke a promise", case.name))?.checked;
        totals.runs += 1;
        totals.faults += case.faults.len();
        totals.acknowledged += checked.acknowledged;
        totals.points += checked.points;
    }
    let Totals { runs, faults, acknowledged, points } = totals;
    say(&format!("held: {runs} runs, {faults} faults, {acknowledged} acknowledged records, {points} points"));
    Ok(())
}

/// Every named case in turn, a mixture after each.
fn case(number: u64, seed: u64) -> Case {
    let named = usize::try_from(number / 2).unwrap_or_default() % cases::EACH.len();
    if number.is_multiple_of(2) { cases::EACH[named]() } else { Case::mixed(seed) }
}

fn progress(started: Instant, totals: &Totals, case: &Case, seed: u64) {
    let Totals { runs, faults, acknowledged, .. } = totals;
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
