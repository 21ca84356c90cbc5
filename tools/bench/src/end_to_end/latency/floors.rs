//! What no pipeline can beat on this machine: a commit of ten rows, and the way from produce to
//! poll.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;

use crate::end_to_end::kafka::Broker;
use crate::feed::{self, Delivery, Feed};
use crate::figures::{milliseconds, percentile};
use crate::postgres::Server;
use crate::report::{Table, rounded};

const COMMITS: usize = 500;
const RECORDS: usize = 500;
const ROWS: i32 = 10;
const BETWEEN_RECORDS: Duration = Duration::from_millis(5);

/// Measures both, and adds them to the table.
pub(super) async fn measure(
    broker: &Broker,
    server: &mut Server,
    table: &mut Table,
) -> anyhow::Result<()> {
    let commits = commits(server).await?;
    let polls = produce_to_poll(broker).await?;

    for (name, times) in [
        ("a commit of ten rows", commits),
        ("produce to poll", polls),
    ] {
        table.row(vec![
            json!(name),
            rounded(percentile(times.iter().copied(), 50)),
            rounded(percentile(times.iter().copied(), 99)),
        ]);
    }
    Ok(())
}

async fn commits(server: &mut Server) -> anyhow::Result<Vec<f64>> {
    server.new_database().await?;
    let mut connection = server.connection().await?;
    sqlx::query("create table floor (number int4, at timestamptz default now())")
        .execute(&mut connection)
        .await?;

    let mut times = Vec::with_capacity(COMMITS);
    for _ in 0..COMMITS {
        let started = Instant::now();
        sqlx::query("insert into floor (number) select generate_series(1, $1)")
            .bind(ROWS)
            .execute(&mut connection)
            .await?;
        times.push(milliseconds(started.elapsed()));
    }
    Ok(times)
}

async fn produce_to_poll(broker: &Broker) -> anyhow::Result<Vec<f64>> {
    let topic = broker.new_topic("floor").await?;
    let symbols = feed::symbols(200);
    let start = feed::start_before_now(10)?;
    let mut feed = Feed::new(&symbols, start, Delivery::Clean)?;
    let producer = broker.producer("0")?;
    let consumer = broker.reader(&topic)?;

    tokio::task::block_in_place(|| {
        let mut times = Vec::with_capacity(RECORDS);
        // The first record waits for connections and for the consumer's start.
        for number in 0..=RECORDS {
            let record = feed.record()?;
            let started = Instant::now();
            producer.send(&topic, &record)?;
            consumer
                .poll(super::PATIENCE)
                .context("a record did not arrive")??;

            if number > 0 {
                times.push(milliseconds(started.elapsed()));
            }
            std::thread::sleep(BETWEEN_RECORDS);
        }
        Ok(times)
    })
}
