//! The averager's code compared with a bare COPY, a bare UNNEST insert and one-by-one storing,
//! interleaved in one run.
//!
//! Every contender first decodes the JSON that Lambda delivers, then writes the events in order of
//! arrival into a table with the same key and the same partitions. A round gives each contender one
//! slice. Ratios are taken within a round and their median is reported, because the machine's speed
//! changes between rounds, not within them.

mod averaging;
mod case;
mod contender;
mod copy;
mod insert;
mod kind;
mod memory;
mod naive;
mod opening;
mod outcome;
mod small_batches;
mod tables;
mod writers;

use serde_json::{Value, json};

pub(crate) use self::averaging::Averaging;
use self::case::Case;
pub(crate) use self::contender::Contender;
pub(crate) use self::copy::{STATEMENT, rows};
use self::kind::Kind;
use self::outcome::Outcome;
use self::tables::Tables;
pub(crate) use self::tables::{SeriesIds, copy_structure};
use self::writers::Slice;
use crate::bench::Bench;
use crate::correctness;
use crate::feed::Delivery;
use crate::figures::median;
use crate::report::{Table, rounded};

/// The numbers of symbols. Of 5,000 symbols, a batch of 1,000 has each event from another series,
/// the worst case.
const SYMBOLS: [usize; 2] = [200, 5_000];

/// Measures every case and adds the tables to the report.
pub(crate) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let progress = bench.progress;
    let (mut speeds, mut thresholds) = (
        speed_table(),
        Table::of_thresholds("The averager's thresholds"),
    );

    let mut checks = Table::new(
        "The averager's tables",
        &["symbols", "after", "points", "bytes per point", "averages"],
    );

    let mut small = small_batches::table();
    for symbols in SYMBOLS {
        progress.tell(format!("averager: {symbols} symbols: filling the tables"));
        bench.server.new_database().await?;
        let mut tables = Tables::fill(&bench.server, symbols).await?;

        for delivery in [Delivery::Clean, Delivery::Imperfect] {
            for case in Case::all(symbols, delivery, bench.cli.quick) {
                let outcome = Outcome::measure(case, bench, &mut tables).await?;
                speeds.row(speed_row(&case, &outcome));
                hold(&mut thresholds, &case, &outcome);
            }

            if delivery == Delivery::Clean {
                let shown = (&mut small, &mut thresholds);
                small_batches::measure(&bench.server, &mut tables, symbols, shown).await?;
            }

            progress.tell(format!(
                "averager: {symbols} symbols: checking every average"
            ));

            let stored = correctness::check(&bench.server, tables.expected_points).await?;
            checks.row(vec![
                json!(symbols),
                json!(delivery.describe()),
                json!(stored.points),
                rounded(stored.bytes_per_point),
                json!("all exact, none missing"),
            ]);

            if delivery == Delivery::Clean {
                let case = format!("bytes per point, {symbols} symbols, clean");
                thresholds.at_most(case, stored.bytes_per_point, 130.0, 130.0);
            }
        }
    }

    progress.tell("averager: peak memory at a batch of 10,000");
    let peak = memory::peak(&mut bench.server, bench.binaries).await?;
    thresholds.at_most(
        "peak memory of the averager at a batch of 10,000, MiB",
        peak,
        64.0,
        64.0,
    );

    for table in [speeds, small, checks, thresholds] {
        bench.report.add(table);
    }

    Ok(())
}

fn speed_table() -> Table {
    let mut table = Table::new(
        "The averager and its limits (k/s: thousand events a second; µs: CPU time of client and server per event)",
        &[
            "symbols",
            "batch",
            "delivery",
            "conn.",
            "decode k/s",
            "COPY k/s",
            "COPY µs",
            "UNNEST k/s",
            "averager k/s",
            "averager µs",
            "of which client",
            "of COPY: wall",
            "of COPY: CPU",
            "of UNNEST: wall",
            "naive of COPY: wall",
        ],
    );

    table.note("Every contender decodes the same JSON first; `decode` does only that. Medians of interleaved rounds.");
    table.note(
        "COPY and UNNEST always get clean events, since neither takes a repeated key; ratios are of events.",
    );

    table
}

fn speed_row(case: &Case, outcome: &Outcome) -> Vec<Value> {
    let speed = |kind| rounded(outcome.median(kind, |slice| slice.rate() / 1e3));
    let cpu = |kind| rounded(outcome.median(kind, Slice::cpu_micros));

    vec![
        json!(case.symbols),
        json!(case.batch),
        json!(case.delivery.describe()),
        json!(case.connections),
        speed(Kind::Decode),
        speed(Kind::Copy),
        cpu(Kind::Copy),
        speed(Kind::Unnest),
        speed(Kind::Averager),
        cpu(Kind::Averager),
        rounded(outcome.median(Kind::Averager, Slice::client_cpu_micros)),
        rounded(outcome.wall_ratio(Kind::Averager, Kind::Copy)),
        rounded(outcome.cpu_ratio(Kind::Averager, Kind::Copy)),
        rounded(outcome.wall_ratio(Kind::Averager, Kind::Unnest)),
        rounded(outcome.wall_ratio(Kind::Naive, Kind::Copy)),
    ]
}

/// Compares a case with its required thresholds.
fn hold(thresholds: &mut Table, case: &Case, outcome: &Outcome) {
    let cpu = outcome.cpu_ratio(Kind::Averager, Kind::Copy);
    let name = case.to_string();

    if case.batch == 100 {
        if case.delivery == Delivery::Clean {
            let slower = median(outcome.ratios(Kind::Unnest, Kind::Averager, Slice::rate));
            thresholds.at_most(
                format!("{name}: times UNNEST's wall time"),
                slower,
                1.8,
                1.3,
            );
        }
        return;
    }

    let (required, aim) = match (case.delivery, case.symbols, case.batch) {
        (Delivery::Imperfect, _, 1_000) => (0.38, 0.50),
        (Delivery::Imperfect, ..) => (0.55, 0.70),
        (Delivery::Clean, 5_000, 1_000) => (0.45, 0.60),
        (Delivery::Clean, 5_000, _) => (0.60, 0.75),
        (Delivery::Clean, ..) => (0.70, 0.85),
    };

    thresholds.at_least(format!("{name}: of COPY's CPU"), cpu, required, aim);
}
