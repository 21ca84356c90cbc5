//! Batches of ten over TCP. Without `TCP_NODELAY`, a client that sends twice in a batch waits 40
//! ms.

use std::time::Instant;

use serde_json::json;

use super::kind::Kind;
use super::opening::open;
use super::tables::Tables;
use crate::feed::Delivery;
use crate::figures::{milliseconds, percentile};
use crate::postgres::Server;
use crate::report::{Table, rounded};

const BATCHES: usize = 300;
const BATCH: usize = 10;

pub(super) fn table() -> Table {
    Table::new(
        "Batches of 10 over TCP, ms a batch",
        &["symbols", "contender", "p50", "p99"],
    )
}

pub(super) async fn measure(
    server: &Server,
    tables: &mut Tables,
    symbols: usize,
    table: &mut Table,
) -> anyhow::Result<()> {
    for kind in [Kind::Copy, Kind::Unnest, Kind::Averager] {
        let mut contender = open(kind, server, tables).await?;
        let mut feed = tables.feed(kind, (0, 1), Delivery::Clean)?;
        let mut times = Vec::with_capacity(BATCHES);

        for _ in 0..BATCHES {
            let event = feed.batch(BATCH)?;
            let started = Instant::now();
            contender.take(&event).await?;
            times.push(milliseconds(started.elapsed()));
        }

        tables.sent(kind, &feed);
        let figure = |percent| rounded(percentile(times.iter().copied(), percent));
        table.row(vec![
            json!(symbols),
            json!(kind.to_string()),
            figure(50),
            figure(99),
        ]);
    }

    Ok(())
}
