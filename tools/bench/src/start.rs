//! What Lambda waits and pays for: the time until a function requests work and until it has
//! answered, the size of its binary, and its memory. All are compared with a function that does
//! nothing.

mod events;
mod function;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use self::events::Events;
use self::function::{Function, Instance, Start};
use crate::bench::Bench;
use crate::figures::{median, milliseconds};
use crate::progress::Progress;
use crate::report::{Table, rounded};

/// The longest that a start may take, as a ratio to hello's.
const START_LIMIT: f64 = 1.5;
/// The most memory in MiB after the last invocation.
const MEMORY_LIMIT: f64 = 40.0;
/// The most that memory may grow between the last two readings, as a ratio: required, and aimed
/// for.
const GROWTH_LIMITS: (f64, f64) = (1.10, 1.05);
/// The numbers of invocations after which memory is read.
const LOOKS: [usize; 3] = [1, 100, 1_000];

/// Measures every function in `directory` and adds the tables to the report.
pub(crate) async fn run(bench: &mut Bench<'_>, directory: &Path) -> anyhow::Result<()> {
    bench.server.new_database().await?;

    let mut events = Events::prepare(&bench.server).await?;
    let functions = Function::all(directory)?;
    let runs = if bench.cli.quick { 5 } else { 20 };

    let starts = starts(&functions, &mut events, runs, bench.progress).await?;

    let mut figures = figures_table();
    let mut thresholds = Table::of_thresholds("Thresholds of starts, sizes and memory");

    for function in &functions {
        bench
            .progress
            .tell(format!("start: memory of {}", function.name));
        let memory = memory(function, &mut events).await?;

        let own = &starts[function.name];
        let (asked, answered) = (
            ratio(own, &starts["hello"], asked),
            ratio(own, &starts["hello"], answered),
        );

        figures.row(vec![
            json!(function.name),
            rounded(function.megabytes),
            rounded(median(own.iter().map(self::asked))),
            rounded(asked),
            rounded(median(own.iter().map(self::answered))),
            rounded(answered),
            json!(memory.map(|memory| format!("{memory:.1}")).join(", ")),
        ]);

        hold(&mut thresholds, function, asked, memory);
    }

    bench.report.add(figures);
    bench.report.add(thresholds);
    Ok(())
}

fn figures_table() -> Table {
    let mut table = Table::new(
        "Starts of the functions",
        &[
            "function",
            "MB",
            "to the first request, ms",
            "of hello",
            "to the first answer, ms",
            "of hello",
            "memory MiB",
        ],
    );

    table.note(
        "Medians of interleaved runs; ratios within a run. MB: a million bytes of binary, not compressed.",
    );
    table.note("Memory: resident after 1, 100 and 1,000 invocations.");

    table
}

/// Compares a function with its thresholds; hello has none.
fn hold(thresholds: &mut Table, function: &Function, start: f64, memory: [f64; LOOKS.len()]) {
    let Some(limit) = function.megabytes_limit else {
        return;
    };

    let case = |what: &str| format!("{}: {what}", function.name);
    let [_, before, last] = memory;
    let (growth, growth_aim) = GROWTH_LIMITS;

    thresholds.at_most(case("start, of hello's"), start, START_LIMIT, START_LIMIT);
    thresholds.at_most(case("MB"), function.megabytes, limit, limit);
    thresholds.at_most(
        case("MiB after 1,000 invocations"),
        last,
        MEMORY_LIMIT,
        MEMORY_LIMIT,
    );
    thresholds.at_most(
        case("memory after 1,000, of that after 100"),
        last / before,
        growth,
        growth_aim,
    );
}

/// Starts all functions in turn, `runs` times, each time with another one first, so that all are
/// affected alike by the machine's other work, such as what the function before has left for
/// Postgres and Kafka.
async fn starts(
    functions: &[Function],
    events: &mut Events,
    runs: usize,
    progress: &Progress,
) -> anyhow::Result<BTreeMap<&'static str, Vec<Start>>> {
    let mut starts = BTreeMap::<_, Vec<_>>::new();

    // Run 0 is not counted: it only brings the binaries into memory.
    for run in 0..=runs {
        progress.tell(format!("start: run {run} of {runs}"));

        let (before, first) = functions.split_at(run % functions.len());
        for function in first.iter().chain(before) {
            let mut instance = Instance::start(function, events).await?;
            let start = instance.first_answer(events.next(function.name)?).await?;
            instance.kill().await?;

            if run > 0 {
                starts.entry(function.name).or_default().push(start);
            }
        }
    }

    Ok(starts)
}

/// The resident memory in MiB at each reading.
async fn memory(function: &Function, events: &mut Events) -> anyhow::Result<[f64; LOOKS.len()]> {
    let mut instance = Instance::start(function, events).await?;
    let mut memory = [0.0; LOOKS.len()];
    let mut invocations = 0;

    for (look, memory) in LOOKS.into_iter().zip(&mut memory) {
        while invocations < look {
            instance.first_answer(events.next(function.name)?).await?;
            invocations += 1;
        }

        *memory = instance.memory()?;
    }

    instance.kill().await?;
    Ok(memory)
}

fn asked(start: &Start) -> f64 {
    milliseconds(start.asked)
}

fn answered(start: &Start) -> f64 {
    milliseconds(start.answered)
}

/// The median over the runs of the ratio of one function's figure to another's.
fn ratio(own: &[Start], other: &[Start], figure: impl Fn(&Start) -> f64) -> f64 {
    median(
        own.iter()
            .zip(other)
            .map(|(own, other)| figure(own) / figure(other)),
    )
}
