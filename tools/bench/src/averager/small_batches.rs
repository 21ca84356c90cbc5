//! Batches of ten over TCP. Without `TCP_NODELAY`, a client that sends twice in a batch waits 40
//! ms.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::json;

use super::kind::Kind;
use super::opening::open;
use super::tables::Tables;
use crate::feed::Delivery;
use crate::figures::{median, milliseconds, percentile};
use crate::postgres::Server;
use crate::report::{Table, rounded};

/// Batches of each contender in a round.
const BATCHES: usize = 100;
const BATCH: usize = 10;
const ROUNDS: usize = 5;
const KINDS: [Kind; 3] = [Kind::Copy, Kind::Unnest, Kind::Averager];

pub(super) fn table() -> Table {
    Table::new(
        "Batches of 10 over TCP, ms a batch",
        &["symbols", "contender", "p50", "p99"],
    )
}

/// Measures the contenders in interleaved rounds, after each has seen every symbol. The threshold
/// is on the averager's median time as a ratio to the bare insert's: the median of the rounds.
pub(super) async fn measure(
    server: &Server,
    tables: &mut Tables,
    symbols: usize,
    (table, thresholds): (&mut Table, &mut Table),
) -> anyhow::Result<()> {
    let mut contenders = Vec::new();
    for kind in KINDS {
        let feed = tables.feed(kind, (0, 1), Delivery::Clean)?;
        contenders.push((kind, open(kind, server, tables).await?, feed, Vec::new()));
    }

    // The averager reads each series once, and remembers it.
    for (_, contender, feed, _) in &mut contenders {
        for _ in 0..symbols.div_ceil(BATCH) {
            contender.take(&feed.batch(BATCH)?).await?;
        }
    }

    for _ in 0..ROUNDS {
        for (_, contender, feed, rounds) in &mut contenders {
            let mut times = Vec::with_capacity(BATCHES);
            for _ in 0..BATCHES {
                let event = feed.batch(BATCH)?;
                let started = Instant::now();
                contender.take(&event).await?;
                times.push(milliseconds(started.elapsed()));
            }
            rounds.push(times);
        }
    }

    let mut medians = BTreeMap::new();
    for (kind, _, feed, rounds) in contenders {
        tables.sent(kind, &feed);
        medians.insert(
            kind,
            rounds
                .iter()
                .map(|times| median(times.iter().copied()))
                .collect::<Vec<_>>(),
        );

        let figure = |percent| rounded(percentile(rounds.iter().flatten().copied(), percent));
        table.row(vec![
            json!(symbols),
            json!(kind.to_string()),
            figure(50),
            figure(99),
        ]);
    }

    let of = |kind: Kind| medians.get(&kind).into_iter().flatten();
    let pairs = of(Kind::Averager).zip(of(Kind::Unnest));
    thresholds.at_most(
        format!("{symbols} symbols, batch {BATCH}: times UNNEST's wall time"),
        median(pairs.map(|(averager, insert)| averager / insert)),
        1.8,
        1.3,
    );
    Ok(())
}
