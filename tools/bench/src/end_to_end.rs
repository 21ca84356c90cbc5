//! The whole stack on a real Kafka: from a full topic to stored averages, from produce to visible
//! average, and recovery after `kill -9`.

mod kafka;
mod load;
mod stack;
mod steady;
mod throughput;

use std::path::Path;

use serde_json::{Value, json};

use self::kafka::Broker;
use self::steady::Steady;
use self::throughput::{Limits, Run};
use crate::cli::Cli;
use crate::feed::Delivery;
use crate::figures::median;
use crate::postgres::Server;
use crate::progress::Progress;
use crate::report::{Report, Table, rounded};

const SYMBOLS: [usize; 2] = [200, 5_000];

/// The results of all rounds with one number of symbols.
#[derive(Debug, Default)]
struct Rounds {
    limits: Vec<Limits>,
    clean: Vec<Run>,
    imperfect: Vec<Run>,
}

/// Runs all measurements and adds the tables to the report.
pub(crate) async fn run(
    cli: &Cli,
    server: &mut Server,
    binaries: &Path,
    progress: &Progress,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (events, rounds) = if cli.quick {
        (cli.events.min(200_000), 1)
    } else {
        (cli.events, 3)
    };

    progress.tell("end to end: starting Kafka");
    let broker = Broker::start().await?;

    let (mut speeds, mut thresholds) = (
        speed_table(),
        Table::of_thresholds("End to end: thresholds"),
    );

    let mut memory: f64 = 0.0;
    for symbols in SYMBOLS {
        let mut kept = Rounds::default();
        for round in 1..=rounds {
            let throughput = throughput::Throughput {
                broker: &broker,
                binaries,
                symbols,
                events,
            };

            progress.tell(format!(
                "end to end: {symbols} symbols, round {round} of {rounds}: clean"
            ));
            let (limits, clean) = throughput.measure(server, Delivery::Clean).await?;

            progress.tell(format!(
                "end to end: {symbols} symbols, round {round} of {rounds}: imperfect"
            ));
            let (_, imperfect) = throughput.measure(server, Delivery::Imperfect).await?;

            kept.limits.push(limits);
            kept.clean.push(clean);
            kept.imperfect.push(imperfect);
        }

        let runs = kept.clean.iter().chain(&kept.imperfect);
        memory = runs.map(|run| run.emulator_memory).fold(memory, f64::max);
        kept.tell(symbols, &mut speeds, &mut thresholds);
    }

    let steady = steady::measure(&broker, server, binaries, progress, cli.quick).await?;
    hold(&mut thresholds, &steady, memory);

    report.add(speeds);
    report.add(steady.table());
    report.add(thresholds);
    broker.stop()
}

fn hold(thresholds: &mut Table, steady: &Steady, memory: f64) {
    thresholds.at_most("latency p50, ms", steady.p50, 20.0, 10.0);
    thresholds.at_most("latency p99, ms", steady.p99, 60.0, 25.0);
    thresholds.at_most(
        "first average after kill -9 of the averager, s",
        steady.after_averager,
        2.0,
        0.5,
    );
    thresholds.at_most(
        "first average after kill -9 of the emulator, s",
        steady.after_emulator,
        10.0,
        4.0,
    );
    thresholds.at_most("peak memory of the emulator, MiB", memory, 150.0, 80.0);
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

        for (delivery, runs) in [
            (Delivery::Clean, &self.clean),
            (Delivery::Imperfect, &self.imperfect),
        ] {
            speeds.row(self.row(symbols, delivery, runs));
        }

        let lowest = if symbols == 200 { 0.35 } else { 0.40 };
        let most = if symbols == 200 { 4.8 } else { 3.8 };
        let name = |what: &str| format!("{symbols} symbols: {what}");

        thresholds.at_least(
            name("rate, of bare COPY's"),
            self.rate_ratio(&self.clean),
            lowest,
            0.55,
        );

        thresholds.at_most(
            name("CPU, times bare COPY's"),
            self.cpu_ratio(&self.clean),
            most,
            2.8,
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

    fn row(&self, symbols: usize, delivery: Delivery, runs: &[Run]) -> Vec<Value> {
        let figure = |of: fn(&Run) -> f64| rounded(median(runs.iter().map(of)));
        vec![
            json!(symbols),
            json!(format!("the stack, {}", delivery.describe())),
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
