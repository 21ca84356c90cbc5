//! The yardstick of every latency: a loop in Rust that only stores what it reads.
//!
//! It consumes for up to 5 ms or 1,000 records, decodes them, writes them by one COPY into the same
//! table, and commits. It computes no average, invokes no function and speaks no HTTP. It runs in a
//! process of its own, so that its CPU time can be told from the load's.

use std::collections::HashMap;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use futures::SinkExt as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use shared::price_event::{PriceEvent, RecordCoordinates};
use tokio_postgres::{Client, NoTls, Statement};

use crate::averager::{SeriesIds, rows};
use crate::end_to_end::kafka::{Broker, partitions};
use crate::postgres::Server;

/// The option by which the benchmark starts itself as the loop.
pub(crate) const OPTION: &str = "--bare-loop";

const MOST_RECORDS: usize = 1_000;
const LONGEST_READ: Duration = Duration::from_millis(5);
const STATEMENT: &str =
    "copy price_points (quoted_at, polled_at, event_id, series_id, points, price, moving_average, unit_id)
     from stdin (format binary)";

/// The loop's process. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct BareLoop(Child);

impl BareLoop {
    /// Starts the loop on `topic`, and waits until it reads. The database must have its series.
    pub(super) fn start(server: &Server, broker: &Broker, topic: &str) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("where this benchmark's binary lies")?;
        let mut child = Command::new(own)
            .arg(OPTION)
            .args([&server.url, &broker.bootstrap_servers, topic])
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the bare loop")?;

        let mut ready = String::new();
        let stdout = child.stdout.take().context("its standard output")?;
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut ready)?;
        anyhow::ensure!(!ready.is_empty(), "the bare loop ended at its start");
        Ok(Self(child))
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for BareLoop {
    fn drop(&mut self) {
        // Both fail only if the process has ended.
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// What the loop's process does, given the database's URL, Kafka's address and the topic.
pub(crate) async fn run(arguments: &[String]) -> anyhow::Result<()> {
    let [url, bootstrap_servers, topic] = arguments else {
        anyhow::bail!("{OPTION} takes a database, a broker and a topic");
    };

    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    let ids = series(&client).await?;
    let statement = client.prepare(STATEMENT).await?;

    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("group.id", "bare-loop")
        .set("enable.auto.commit", "false")
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.wait.max.ms", "10")
        .set("socket.nagle.disable", "true")
        .create()?;
    consumer.assign(&partitions(topic, Offset::Beginning)?)?;
    writeln!(std::io::stdout(), "ready")?;

    let parent = std::os::unix::process::parent_id();
    while std::os::unix::process::parent_id() == parent {
        let (events, offsets) = read(&consumer, topic)?;
        if !events.is_empty() {
            store(&client, &statement, &events, &ids).await?;
            consumer.commit(&offsets, CommitMode::Async)?;
        }
    }

    Ok(())
}

async fn series(client: &Client) -> anyhow::Result<SeriesIds> {
    let mut ids = HashMap::new();
    for row in client
        .query("select symbol, series_id from series", &[])
        .await?
    {
        ids.insert(row.get::<_, &str>(0).parse()?, row.get(1));
    }
    Ok(SeriesIds::of_map(ids))
}

/// Reads and decodes for up to [`LONGEST_READ`] or [`MOST_RECORDS`], and says what to commit.
fn read(
    consumer: &BaseConsumer,
    topic: &str,
) -> anyhow::Result<(Vec<PriceEvent>, TopicPartitionList)> {
    let deadline = Instant::now() + LONGEST_READ;
    let mut events = Vec::new();
    let mut next = HashMap::new();

    while events.len() < MOST_RECORDS {
        let left = deadline.saturating_duration_since(Instant::now());
        let Some(message) = consumer.poll(left) else {
            break;
        };

        let message = message?;
        let coordinates = RecordCoordinates {
            topic,
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message
                .timestamp()
                .to_millis()
                .and_then(chrono::DateTime::from_timestamp_millis),
        };

        events.push(PriceEvent::decode(
            message.payload(),
            &coordinates,
            chrono::Utc::now(),
        )?);
        next.insert(message.partition(), message.offset() + 1);
        if left.is_zero() {
            break;
        }
    }

    let mut offsets = TopicPartitionList::new();
    for (partition, offset) in next {
        offsets.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    }
    Ok((events, offsets))
}

async fn store(
    client: &Client,
    statement: &Statement,
    events: &[PriceEvent],
    ids: &SeriesIds,
) -> anyhow::Result<()> {
    let sink = client.copy_in::<_, Bytes>(statement).await?;
    let mut sink = std::pin::pin!(sink);
    sink.send(rows(events, ids)?).await?;
    sink.finish().await?;
    Ok(())
}
