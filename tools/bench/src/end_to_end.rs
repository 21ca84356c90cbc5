//! The whole stack on a real Kafka: from a full topic to stored averages, from produce to committed
//! average, and recovery after `kill -9`.

mod kafka;
mod latency;
mod load;
mod stack;
mod steady;
mod throughput;

use serde_json::{Value, json};

use self::kafka::Broker;
use self::latency::Latency;
pub(crate) use self::latency::{BARE_LOOP, run_bare_loop};
use self::throughput::{Limits, Run, Throughput};
use crate::bench::Bench;
use crate::cli::Command;
use crate::feed::Delivery;
use crate::figures::median;
use crate::report::{Table, rounded};

const SYMBOLS: [usize; 2] = [200, 5_000];

/// The results of all rounds with one number of symbols.
#[derive(Debug, Default)]
struct Rounds {
    limits: Vec<Limits>,
    clean: Vec<Run>,
    imperfect: Vec<Run>,
    /// Of the stack that it is compared with, if any; clean.
    against: Vec<Run>,
}

/// Runs all measurements and adds the tables to the report.
pub(crate) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    bench.progress.tell("end to end: starting Kafka");
    let broker = Broker::start().await?;
    let mut thresholds = Table::of_thresholds("End to end: thresholds");

    let only = bench.cli.command;
    if only != Some(Command::Throughput) {
        let latency = Latency {
            broker: &broker,
            binaries: bench.binaries,
            against: bench.cli.against.as_deref(),
            rounds: bench.cli.rounds(),
            quick: bench.cli.quick,
        };
        latency.measure(bench, &mut thresholds).await?;
    }

    if only != Some(Command::Latency) {
        throughput(&broker, bench, &mut thresholds).await?;
    }

    // Recovery is neither.
    if !matches!(only, Some(Command::Latency | Command::Throughput)) {
        let recovery = steady::measure(&broker, bench).await?;
        recovery.hold(&mut thresholds);
        bench.report.add(recovery.table());
    }

    bench.report.add(thresholds);
    broker.stop()
}

/// From a full topic to stored averages, for each number of symbols.
async fn throughput(
    broker: &Broker,
    bench: &mut Bench<'_>,
    thresholds: &mut Table,
) -> anyhow::Result<()> {
    let mut speeds = speed_table();
    let mut memory: f64 = 0.0;
    for symbols in SYMBOLS {
        let kept = rounds(broker, bench, symbols).await?;
        let runs = kept.clean.iter().chain(&kept.imperfect);
        memory = runs.map(|run| run.emulator_memory).fold(memory, f64::max);
        kept.tell(symbols, &mut speeds, thresholds);
    }

    thresholds.at_most("peak memory of the emulator, MiB", memory, 150.0, 80.0);
    bench.report.add(speeds);
    Ok(())
}

async fn rounds(broker: &Broker, bench: &mut Bench<'_>, symbols: usize) -> anyhow::Result<Rounds> {
    let cli = bench.cli;
    let throughput = Throughput {
        broker,
        binaries: bench.binaries,
        against: cli.against.as_deref(),
        symbols,
        events: if cli.quick {
            cli.events.min(200_000)
        } else {
            cli.events
        },
    };

    let (mut kept, rounds) = (Rounds::default(), cli.rounds());
    for round in 1..=rounds {
        for delivery in [Delivery::Clean, Delivery::Imperfect] {
            bench.progress.tell(format!(
                "end to end: {symbols} symbols, round {round} of {rounds}: {}",
                delivery.describe()
            ));

            let measured = throughput.measure(&mut bench.server, delivery).await?;
            match delivery {
                Delivery::Clean => {
                    kept.limits.push(measured.limits);
                    kept.clean.push(measured.run);
                    kept.against.extend(measured.against);
                }
                Delivery::Imperfect => kept.imperfect.push(measured.run),
            }
        }
    }
    Ok(kept)
}

fn speed_table() -> Table {
    let mut table = Table::new(
        "From a full topic to stored averages (CPU in seconds per million events)",
        &[
            "symbols",
            "what",
            "k/s",
            "of COPY",
            "CPU",
            "times COPY's",
            "averager",
            "emulator",
            "Postgres",
            "broker",
            "emulator MiB",
            "averager MiB",
        ],
    );

    table.note(
        "Counted from the first committed batch to the last; every average was checked afterwards.",
    );
    table.note(
        "COPY: binary, of decoded rows, 10,000 at a time, one connection, its own client's CPU included.",
    );

    table
}

impl Rounds {
    fn tell(&self, symbols: usize, speeds: &mut Table, thresholds: &mut Table) {
        let limit = |of: fn(&Limits) -> f64| rounded(median(self.limits.iter().map(of)));

        for (name, rate, cpu) in [
            (
                "bare consumer",
                limit(|limits| limits.consumer_rate / 1e3),
                limit(|limits| limits.consumer_cpu),
            ),
            (
                "bare COPY",
                limit(|limits| limits.copy_rate / 1e3),
                limit(|limits| limits.copy_cpu),
            ),
        ] {
            let mut row = vec![json!(symbols), json!(name), rate, Value::Null, cpu];
            row.resize(12, Value::Null);
            speeds.row(row);
        }

        for (name, runs) in [
            ("the stack, clean", &self.clean),
            ("the stack, 10 % repeated, 1 % late", &self.imperfect),
            ("the stack compared with, clean", &self.against),
        ] {
            if !runs.is_empty() {
                speeds.row(self.row(symbols, name, runs));
            }
        }

        let (lowest, wanted) = if symbols == 200 {
            (0.55, 0.70)
        } else {
            (0.70, 0.85)
        };
        let (most, aim) = if symbols == 200 {
            (3.2, 2.6)
        } else {
            (2.7, 2.1)
        };
        let name = |what: &str| format!("{symbols} symbols: {what}");

        thresholds.at_least(
            name("rate, of bare COPY's"),
            self.rate_ratio(&self.clean),
            lowest,
            wanted,
        );

        thresholds.at_most(
            name("CPU, times bare COPY's"),
            self.cpu_ratio(&self.clean),
            most,
            aim,
        );

        let pairs = self.imperfect.iter().zip(&self.clean);
        let of_clean = median(pairs.map(|(imperfect, clean)| imperfect.rate / clean.rate));

        thresholds.at_least(
            name("repeats and late events, of the clean rate"),
            of_clean,
            0.75,
            0.9,
        );
    }

    fn row(&self, symbols: usize, name: &str, runs: &[Run]) -> Vec<Value> {
        let figure = |of: fn(&Run) -> f64| rounded(median(runs.iter().map(of)));
        vec![
            json!(symbols),
            json!(name),
            figure(|run| run.rate / 1e3),
            rounded(self.rate_ratio(runs)),
            figure(Run::cpu),
            rounded(self.cpu_ratio(runs)),
            figure(|run| run.averager_cpu),
            figure(|run| run.emulator_cpu),
            figure(|run| run.postgres_cpu),
            figure(|run| run.broker_cpu),
            figure(|run| run.emulator_memory),
            figure(|run| run.averager_memory),
        ]
    }

    fn rate_ratio(&self, runs: &[Run]) -> f64 {
        median(
            runs.iter()
                .zip(&self.limits)
                .map(|(run, limits)| run.rate / limits.copy_rate),
        )
    }

    fn cpu_ratio(&self, runs: &[Run]) -> f64 {
        median(
            runs.iter()
                .zip(&self.limits)
                .map(|(run, limits)| run.cpu() / limits.copy_cpu),
        )
    }
}
