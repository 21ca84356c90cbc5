//! How soon a produced price is stored with its average, under a steady load, beside a loop that
//! only stores.
//!
//! The contenders take turns in one run, because the machine's speed changes. Ratios are taken
//! within a round, and their median is reported.

mod bare_loop;
mod contender;
mod floors;
mod generator;
mod outcome;
mod stages;
mod trace;

use std::path::Path;
use std::time::Duration;

use serde_json::json;

pub(crate) use self::bare_loop::{OPTION as BARE_LOOP, run as run_bare_loop};
use self::contender::{Contender, Kind};
use self::outcome::Outcome;
use super::kafka::Broker;
use crate::bench::Bench;
use crate::busy_core::BusyCore;
use crate::figures::median;
use crate::postgres::Server;
use crate::progress::Progress;
use crate::report::{Table, rounded};

const SYMBOLS: usize = 200;
/// The longest wait for what was sent.
const PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// A load.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// Events per second.
    rate: u32,
    /// Whether another process of the same priority keeps one core busy.
    busy: bool,
    /// The most that p50 and p99 may be of the bare loop's, and what is aimed at.
    limits: (f64, f64),
}

const CASES: [Case; 3] = [
    Case {
        rate: 1_000,
        busy: false,
        limits: (1.5, 1.0),
    },
    Case {
        rate: 1_000,
        busy: true,
        limits: (1.5, 1.1),
    },
    Case {
        rate: 10_000,
        busy: false,
        limits: (1.5, 1.1),
    },
];

impl Case {
    fn describe(&self) -> String {
        let busy = if self.busy {
            ", one core kept busy"
        } else {
            ""
        };
        format!("{}/s{busy}", self.rate)
    }
}

/// What takes turns: the bare loop, the stack, and the stack of another build.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latency<'a> {
    pub(super) broker: &'a Broker,
    pub(super) binaries: &'a Path,
    pub(super) against: Option<&'a Path>,
    pub(super) rounds: usize,
    pub(super) quick: bool,
}

impl Latency<'_> {
    /// Measures all cases and adds the tables to the report.
    pub(super) async fn measure(
        &self,
        bench: &mut Bench<'_>,
        thresholds: &mut Table,
    ) -> anyhow::Result<()> {
        let (server, progress) = (&mut bench.server, bench.progress);
        server.require_commit_times().await?;

        let (mut latencies, mut cpu, mut waits) = (latency_table(), cpu_table(), trace::table());
        // Kafka compiles itself while it runs, and whoever came first would wait for it.
        for kind in [Kind::BareLoop, Kind::Stack, Kind::BareLoop] {
            progress.tell("end to end: latency: warming up Kafka");
            self.run(CASES[2], kind, server).await?;
        }

        progress.tell("end to end: latency: floors");
        floors::measure(self.broker, server, &mut latencies).await?;

        for case in CASES {
            let rounds = self.rounds(case, server, progress).await?;
            self.tell(case, &rounds, &mut latencies, &mut cpu);
            self.hold(case, &rounds, thresholds);

            progress.tell(format!(
                "end to end: latency at {}: where events wait",
                case.describe()
            ));
            let traced = self.run(case, Kind::Traced, server).await?;
            trace::tell(&case.describe(), &traced, &mut waits);
        }

        for table in [latencies, cpu, waits] {
            bench.report.add(table);
        }
        Ok(())
    }

    /// The outcomes of every contender, round by round.
    async fn rounds(
        &self,
        case: Case,
        server: &mut Server,
        progress: &Progress,
    ) -> anyhow::Result<Vec<(Kind, Vec<Outcome>)>> {
        let mut kinds = vec![Kind::BareLoop, Kind::Stack];
        kinds.extend(self.against.map(|_| Kind::Against));
        let mut kept: Vec<(Kind, Vec<Outcome>)> =
            kinds.into_iter().map(|kind| (kind, Vec::new())).collect();

        let rounds = self.rounds;
        for round in 1..=rounds {
            for (kind, outcomes) in &mut kept {
                progress.tell(format!(
                    "end to end: latency at {}, round {round} of {rounds}: {}",
                    case.describe(),
                    kind.name()
                ));
                outcomes.push(self.run(case, *kind, server).await?);
            }
        }

        Ok(kept)
    }

    async fn run(&self, case: Case, kind: Kind, server: &mut Server) -> anyhow::Result<Outcome> {
        let contender = Contender::start(kind, self, server).await?;
        // Started late, so that it does not slow the preparations.
        let busy = if case.busy {
            Some(BusyCore::start()?)
        } else {
            None
        };

        let outcome = Outcome::measure(contender, self, server, case.rate).await;
        drop(busy);
        outcome
    }

    fn tell(
        &self,
        case: Case,
        rounds: &[(Kind, Vec<Outcome>)],
        latencies: &mut Table,
        cpu: &mut Table,
    ) {
        for (kind, outcomes) in rounds {
            let figure = |of: &dyn Fn(&Outcome) -> f64| rounded(median(outcomes.iter().map(of)));
            let ratio = |of: fn(&Outcome) -> f64| rounded(of_bare_loop(rounds, *kind, of));
            let name = format!("{}: {}", case.describe(), kind.name());

            latencies.row(vec![
                json!(name),
                figure(&|outcome| outcome.produced(50)),
                figure(&|outcome| outcome.produced(99)),
                ratio(|outcome| outcome.produced(50)),
                ratio(|outcome| outcome.produced(99)),
                figure(&|outcome| outcome.appended(50)),
                figure(&|outcome| outcome.appended(99)),
                figure(&|outcome| outcome.load_delay(99)),
                figure(&|outcome| outcome.commits_per_second),
                figure(&|outcome| outcome.events_per_commit),
            ]);

            cpu.row(vec![
                json!(name),
                figure(&|outcome| outcome.cpu.client),
                ratio(|outcome| outcome.cpu.client),
                figure(&|outcome| outcome.cpu.emulator),
                figure(&|outcome| outcome.cpu.averager),
                figure(&|outcome| outcome.cpu.postgres),
                figure(&|outcome| outcome.cpu.broker),
                figure(&|outcome| outcome.cpu.load),
            ]);
        }
    }

    fn hold(&self, case: Case, rounds: &[(Kind, Vec<Outcome>)], thresholds: &mut Table) {
        let (most, aim) = case.limits;
        let mut hold = |what: &str, most, aim, of: fn(&Outcome) -> f64| {
            thresholds.at_most(
                format!("{}: {what}, of the bare loop's", case.describe()),
                of_bare_loop(rounds, Kind::Stack, of),
                most,
                aim,
            );
        };

        hold("latency p50", most, aim, |outcome| outcome.produced(50));
        hold("latency p99", most, aim, |outcome| outcome.produced(99));
        if case.rate == 1_000 && !case.busy {
            hold("CPU of emulator and averager", 3.0, 1.5, |outcome| {
                outcome.cpu.client
            });
        }
    }
}

/// A figure as a ratio to the bare loop's in the same round; the median of the rounds.
fn of_bare_loop(rounds: &[(Kind, Vec<Outcome>)], kind: Kind, figure: fn(&Outcome) -> f64) -> f64 {
    let of = |wanted: Kind| {
        let found = rounds.iter().filter(move |(kind, _)| *kind == wanted);
        found.flat_map(|(_, outcomes)| outcomes)
    };
    median(
        of(kind)
            .zip(of(Kind::BareLoop))
            .map(|(own, bare)| figure(own) / figure(bare)),
    )
}

fn latency_table() -> Table {
    let mut table = Table::new(
        "From produce to committed average, 200 symbols, ms",
        &[
            "what",
            "p50",
            "p99",
            "of the bare loop: p50",
            "p99 ",
            "from append: p50",
            "from append: p99",
            "load's own delay: p99",
            "commits/s",
            "events a commit",
        ],
    );
    table.note("Produce: the time at which the record was handed to the Kafka client. The load's own delay before it, against its schedule, is not part of any latency.");
    table.note("Append: the broker's time, in whole milliseconds. Commit: the time that Postgres notes with the transaction; nothing reads the database meanwhile.");
    table.note("The bare loop, in Rust: consume for up to 5 ms or 1,000 records, decode, one COPY into the same table; no average, no function, no HTTP. Medians of interleaved rounds.");
    table
}

fn cpu_table() -> Table {
    let mut table = Table::new(
        "CPU under the same loads, cores",
        &[
            "what",
            "client",
            "of the bare loop's",
            "emulator",
            "averager",
            "Postgres",
            "broker",
            "load",
        ],
    );
    table.note("Client: the bare loop, or emulator and averager together.");
    table
}
