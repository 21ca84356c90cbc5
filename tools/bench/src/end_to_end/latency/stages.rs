//! When each event passed which stage, put together after a run, so that nothing observes the
//! database meanwhile.
//!
//! Postgres notes the time of each commit (`track_commit_timestamp`), and Kafka the time of each
//! append (`LogAppendTime`, in whole milliseconds). Both use the clock of the load.

use std::collections::HashMap;

use anyhow::ensure;

use super::generator::Sent;
use crate::end_to_end::kafka::Broker;
use crate::postgres::Server;

/// The times of one event, in microseconds since 1970.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) sent: Sent,
    /// When the broker appended it.
    pub(super) appended: i64,
    /// When the transaction with its point and average was committed.
    pub(super) committed: i64,
    /// Its offset in its partition.
    pub(super) offset: usize,
}

/// Waits until everything that was sent is stored, and returns the times of every event.
pub(super) async fn of_run(
    broker: &Broker,
    server: &Server,
    topic: &str,
    sent: Vec<Sent>,
) -> anyhow::Result<Vec<Event>> {
    let committed = commits(server).await?;
    ensure!(
        committed.len() == sent.len(),
        "{} points instead of {}: the figures mean nothing",
        committed.len(),
        sent.len()
    );

    let count = sent.len();
    let appended = tokio::task::block_in_place(|| broker.append_times(topic, count))?;
    // The events of a partition were appended in the order in which they were sent.
    let mut next = HashMap::<u32, usize>::new();

    sent.into_iter()
        .map(|sent| {
            let offset = next.entry(sent.partition).or_default();
            let appended = appended
                .get(&sent.partition)
                .and_then(|times| times.get(*offset))
                .copied();
            let event = Event {
                appended: appended.unwrap_or_default() * 1_000,
                committed: committed
                    .get(&(sent.symbol.clone(), sent.quoted_at))
                    .copied()
                    .ok_or_else(|| anyhow::anyhow!("an event without a point"))?,
                offset: *offset,
                sent,
            };

            *offset += 1;
            Ok(event)
        })
        .collect()
}

/// When each point was committed, by its symbol and quote time.
async fn commits(server: &Server) -> anyhow::Result<HashMap<(String, i64), i64>> {
    let mut connection = server.connection().await?;
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "select s.symbol, (extract(epoch from p.quoted_at) * 1000000)::int8,
                (extract(epoch from pg_xact_commit_timestamp(p.xmin)) * 1000000)::int8
         from price_points p join series s using (series_id)",
    )
    .fetch_all(&mut connection)
    .await?;

    let times = rows
        .into_iter()
        .map(|(symbol, quoted_at, committed)| ((symbol, quoted_at), committed));
    Ok(times.collect())
}

/// Waits until `count` points are stored.
pub(super) async fn wait_for(server: &Server, count: usize) -> anyhow::Result<()> {
    let mut connection = server.connection().await?;
    let deadline = std::time::Instant::now() + super::PATIENCE;

    loop {
        let stored: i64 = sqlx::query_scalar("select count(*) from price_points")
            .fetch_one(&mut connection)
            .await?;
        if usize::try_from(stored)? >= count {
            return Ok(());
        }

        ensure!(
            std::time::Instant::now() < deadline,
            "{stored} of {count} events were stored"
        );
        tokio::time::sleep(super::BETWEEN_LOOKS).await;
    }
}
