//! Where events wait: the times that the emulator logs for each record, beside those of load,
//! broker and Postgres.

use std::collections::HashMap;

use serde_json::json;

use super::outcome::Outcome;
use super::stages::Event;
use crate::figures::percentile;
use crate::report::{Table, rounded};

/// When a record was read and its batch handed to the function, in microseconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Times {
    read: i64,
    invoked: i64,
    answered: i64,
}

pub(super) fn table() -> Table {
    let mut table = Table::new(
        "Where events wait, ms",
        &[
            "load",
            "percentile",
            "produce to append",
            "append to read",
            "read to invocation",
            "invocation to commit",
            "commit to answer",
            "produce to commit",
        ],
    );
    table.note(
        "Of a run in which the emulator logs the times of each record. Each column has its own percentile.",
    );
    table
}

/// Adds the stages of a traced run.
pub(super) fn tell(load: &str, outcome: &Outcome, table: &mut Table) {
    let times = read(&outcome.log);
    let traced: Vec<(&Event, Times)> = outcome
        .events
        .iter()
        .filter_map(|event| Some((event, *times.get(&(event.sent.partition, event.offset))?)))
        .collect();

    for percent in [50, 99] {
        let stage = |of: fn(&Event, Times) -> i64| {
            let times = traced
                .iter()
                .map(|(event, times)| of(event, *times) as f64 / 1e3);
            rounded(percentile(times, percent))
        };

        table.row(vec![
            json!(load),
            json!(format!("p{percent}")),
            stage(|event, _| event.appended - event.sent.sent),
            stage(|event, times| times.read - event.appended),
            stage(|_, times| times.invoked - times.read),
            stage(|event, times| event.committed - times.invoked),
            stage(|event, times| times.answered - event.committed),
            stage(|event, _| event.committed - event.sent.sent),
        ]);
    }
}

/// The times of each record, by partition and offset.
fn read(log: &str) -> HashMap<(u32, usize), Times> {
    let mut found = HashMap::new();
    for line in log.lines().filter(|line| line.contains("batch times")) {
        let _ignored_line = note(line, &mut found);
    }
    found
}

fn note(line: &str, found: &mut HashMap<(u32, usize), Times>) -> Option<()> {
    let field = |name: &str| {
        let (_, after) = line.split_once(&format!("{name}="))?;
        Some(after.split_whitespace().next()?.trim_matches('"'))
    };
    let number = |name| field(name)?.parse().ok();

    let partition = field("partition")?.parse().ok()?;
    let first: usize = field("first")?.parse().ok()?;
    let (invoked, answered) = (number("invoked")?, number("answered")?);

    for (place, read) in field("read")?.split(',').enumerate() {
        let times = Times {
            read: read.parse().ok()?,
            invoked,
            answered,
        };
        found.insert((partition, first + place), times);
    }
    Some(())
}
