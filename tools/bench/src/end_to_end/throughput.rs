//! From a full topic to stored averages, and the limits measured in the same run: a bare consumer
//! and a bare COPY.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use futures::SinkExt as _;
use shared::price_event::{PriceEvent, RecordCoordinates};
use tokio::time::sleep;
use tokio_postgres::NoTls;

use super::kafka::{Broker, GroupProgress};
use super::stack::Stack;
use crate::averager::{STATEMENT, SeriesIds, copy_structure, rows};
use crate::feed::{self, Delivery, Feed, Record};
use crate::postgres::Server;
use crate::{correctness, cpu};

const COPY_BATCH: usize = 10_000;
/// The longest time in which no further record may be committed.
const PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// The parameters of one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Throughput<'a> {
    pub(super) broker: &'a Broker,
    pub(super) binaries: &'a Path,
    /// Another build, which takes turns with the first.
    pub(super) against: Option<&'a Path>,
    pub(super) symbols: usize,
    pub(super) events: usize,
}

/// The limits of a run: events per second, and CPU seconds per million events.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    pub(super) consumer_rate: f64,
    pub(super) consumer_cpu: f64,
    pub(super) copy_rate: f64,
    pub(super) copy_cpu: f64,
}

/// The figures of a run of the stack: events per second, CPU seconds per million events, and MiB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) rate: f64,
    pub(super) averager_cpu: f64,
    pub(super) emulator_cpu: f64,
    pub(super) postgres_cpu: f64,
    pub(super) broker_cpu: f64,
    pub(super) emulator_memory: f64,
    pub(super) averager_memory: f64,
}

impl Run {
    /// CPU time of all parts together.
    pub(super) fn cpu(&self) -> f64 {
        self.averager_cpu + self.emulator_cpu + self.postgres_cpu + self.broker_cpu
    }
}

/// What was measured with one topic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) limits: Limits,
    pub(super) run: Run,
    /// The run of the other build.
    pub(super) against: Option<Run>,
}

/// CPU time of each part so far.
#[derive(Clone, Copy, Debug)]
struct Used {
    averager: Duration,
    emulator: Duration,
    postgres: Duration,
    broker: Duration,
}

impl Throughput<'_> {
    /// Fills a topic, measures the limits if the events are clean, and then measures the stack, and
    /// that of the other build.
    pub(super) async fn measure(
        &self,
        server: &mut Server,
        delivery: Delivery,
    ) -> anyhow::Result<Measured> {
        server.new_database().await?;
        let topic = self.broker.new_topic("price-events").await?;

        let records = self.records(delivery)?;
        let distinct = records.iter().map(|record| (&record.key, record.quoted_at));
        let distinct = distinct.collect::<std::collections::HashSet<_>>().len();

        self.produce(&topic, &records)?;

        let limits = match delivery {
            Delivery::Clean => self.limits(server, &topic, &records).await?,
            Delivery::Imperfect => Limits::default(),
        };

        drop(records);
        let run = self.run(self.binaries, server, &topic).await?;
        correctness::check(server, distinct).await?;

        let against = match (delivery, self.against) {
            (Delivery::Clean, Some(binaries)) => {
                server.new_database().await?;
                let topic = self.refilled(delivery).await?;
                let run = self.run(binaries, server, &topic).await?;
                correctness::check(server, distinct).await?;
                Some(run)
            }
            _ => None,
        };

        Ok(Measured {
            limits,
            run,
            against,
        })
    }

    /// A new topic with the same events, because offsets were committed on the first.
    async fn refilled(&self, delivery: Delivery) -> anyhow::Result<String> {
        let topic = self.broker.new_topic("price-events").await?;
        let records = self.records(delivery)?;
        self.produce(&topic, &records)?;
        Ok(topic)
    }

    fn records(&self, delivery: Delivery) -> anyhow::Result<Vec<Record>> {
        let symbols = feed::symbols(self.symbols);
        let start = feed::start_before_now(self.events / self.symbols)?;

        let mut feed = Feed::new(&symbols, start, delivery)?;

        (0..self.events).map(|_| feed.record()).collect()
    }

    fn produce(&self, topic: &str, records: &[Record]) -> anyhow::Result<()> {
        let producer = self.broker.producer("5")?;

        for record in records {
            producer.send(topic, record)?;
        }

        producer.flush()
    }

    async fn limits(
        &self,
        server: &Server,
        topic: &str,
        records: &[Record],
    ) -> anyhow::Result<Limits> {
        let (client, broker) = (cpu::of_this_process(), self.broker.cpu());
        let consumed = self.broker.consume(topic, self.events)?;
        let consumer_cpu = cpu::of_this_process().saturating_sub(client)
            + self.broker.cpu().saturating_sub(broker);

        let events = decode(records)?;
        let ids = SeriesIds::numbered(self.symbols);
        copy_structure(server, "bench_copy").await?;

        let (client, database) = (cpu::of_this_process(), server.cpu());
        let copied = copy(server, &events, &ids).await?;
        let copy_cpu =
            cpu::of_this_process().saturating_sub(client) + server.cpu().saturating_sub(database);

        Ok(Limits {
            consumer_rate: self.rate(consumed),
            consumer_cpu: per_million(consumer_cpu, self.events),
            copy_rate: self.rate(copied),
            copy_cpu: per_million(copy_cpu, self.events),
        })
    }

    fn rate(&self, time: Duration) -> f64 {
        self.events as f64 / time.as_secs_f64()
    }

    /// Starts the stack on the full topic and waits until the whole topic is committed.
    async fn run(&self, binaries: &Path, server: &Server, topic: &str) -> anyhow::Result<Run> {
        let progress = self.broker.group_progress(topic)?;
        let mut stack = Stack::new(binaries, server, self.broker, topic)?;
        stack.spawn()?;

        let first = wait_for(&progress, 1).await?;
        let (started, before) = (Instant::now(), self.used(server, &stack));
        wait_for(&progress, self.events).await?;
        let (took, after) = (started.elapsed(), self.used(server, &stack));

        let counted = self.events - first;
        ensure!(
            counted > self.events / 4,
            "most of the topic was stored before it could be measured"
        );

        let spent = |of: fn(&Used) -> Duration| {
            per_million(of(&after).saturating_sub(of(&before)), counted)
        };
        let memory = |pids: &[u32]| {
            pids.iter()
                .filter_map(|pid| cpu::peak_memory(*pid))
                .fold(0.0, f64::max)
        };

        // Before the stop, because `/proc` shows only running processes.
        let run = Run {
            rate: counted as f64 / took.as_secs_f64(),
            averager_cpu: spent(|used| used.averager),
            emulator_cpu: spent(|used| used.emulator),
            postgres_cpu: spent(|used| used.postgres),
            broker_cpu: spent(|used| used.broker),
            emulator_memory: memory(&[stack.emulator()]),
            averager_memory: memory(&stack.averagers()),
        };

        stack.stop().await?;
        Ok(run)
    }

    fn used(&self, server: &Server, stack: &Stack) -> Used {
        let (averager, emulator) = stack.cpu();
        Used {
            averager,
            emulator,
            postgres: server.cpu(),
            broker: self.broker.cpu(),
        }
    }
}

/// Waits until at least `count` records are committed, and returns how many are.
async fn wait_for(progress: &GroupProgress, count: usize) -> anyhow::Result<usize> {
    let (mut before, mut moved) = (0, Instant::now());
    loop {
        let committed = tokio::task::block_in_place(|| progress.committed())?;

        if committed >= count {
            return Ok(committed);
        }
        if committed > before {
            (before, moved) = (committed, Instant::now());
        }

        ensure!(
            moved.elapsed() < PATIENCE,
            "{committed} of {count} records are committed, and no more"
        );

        sleep(BETWEEN_LOOKS).await;
    }
}

fn per_million(cpu: Duration, events: usize) -> f64 {
    cpu.as_secs_f64() * 1e6 / events as f64
}

fn decode(records: &[Record]) -> anyhow::Result<Vec<PriceEvent>> {
    let decoded = records.iter().map(|record| {
        let timestamp = chrono::DateTime::from_timestamp_millis(record.timestamp);

        let coordinates = RecordCoordinates {
            topic: "bench",
            partition: 0,
            offset: 0,
            timestamp,
        };

        Ok(PriceEvent::decode(
            Some(&record.value),
            &coordinates,
            chrono::Utc::now(),
        )?)
    });
    decoded.collect()
}

async fn copy(server: &Server, events: &[PriceEvent], ids: &SeriesIds) -> anyhow::Result<Duration> {
    let (client, connection) = tokio_postgres::connect(&server.url, NoTls).await?;
    let connection = tokio::spawn(connection);

    let statement = client.prepare(STATEMENT).await?;

    let started = Instant::now();

    for batch in events.chunks(COPY_BATCH) {
        let sink = client.copy_in::<_, Bytes>(&statement).await?;
        let mut sink = std::pin::pin!(sink);
        sink.send(rows(batch, ids)?).await?;
        sink.finish().await?;
    }

    let took = started.elapsed();
    drop(client);
    connection.await??;
    Ok(took)
}
