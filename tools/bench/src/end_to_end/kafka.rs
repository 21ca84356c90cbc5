//! The benchmark's own Kafka: topics, records, and the progress of a consumer group.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tempfile::TempDir;

use crate::binaries::workspace;
use crate::cpu;
use crate::feed::{PARTITIONS, Record};

/// The consumer group of the averager's event source mapping.
const GROUP: &str = "averager";
const PATIENCE: Duration = Duration::from_secs(30);

/// A running broker. It stops when its standard input closes, at the latest at the end of this
/// process.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) bootstrap_servers: String,
    child: Child,
    stdin: Option<ChildStdin>,
    _data: TempDir,
}

impl Broker {
    pub(super) async fn start() -> anyhow::Result<Self> {
        tokio::task::spawn_blocking(Self::start_and_wait).await?
    }

    fn start_and_wait() -> anyhow::Result<Self> {
        let data = tempfile::Builder::new()
            .prefix("market-data-bench-kafka-")
            .tempdir()?;

        let mut child = Command::new(workspace().join("tools/kafka/start"))
            .args(["--port", "0", "--until-stdin-closes", "--data-dir"])
            .arg(data.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting Kafka")?;

        let stdin = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().context("its standard output")?).lines();

        for line in lines {
            if let Some(address) = line?.strip_prefix("ready ") {
                return Ok(Self {
                    bootstrap_servers: address.to_owned(),
                    child,
                    stdin,
                    _data: data,
                });
            }
        }

        anyhow::bail!("Kafka ended before it was ready; see its messages above")
    }

    /// CPU time of the broker so far.
    pub(super) fn cpu(&self) -> Duration {
        cpu::of_tree(self.child.id())
    }

    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        drop(self.stdin.take());
        self.child.wait()?;
        Ok(())
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap_servers);
        config.set("socket.nagle.disable", "true");
        config
    }

    /// Creates a new topic whose name starts with `purpose`.
    pub(super) async fn new_topic(&self, purpose: &str) -> anyhow::Result<String> {
        self.topic_with(purpose, "CreateTime").await
    }

    /// The same, but the broker gives each record the time at which it appends it.
    pub(super) async fn new_topic_with_append_times(
        &self,
        purpose: &str,
    ) -> anyhow::Result<String> {
        self.topic_with(purpose, "LogAppendTime").await
    }

    async fn topic_with(&self, purpose: &str, times: &str) -> anyhow::Result<String> {
        let name = format!("{purpose}-{}", uuid::Uuid::new_v4().simple());

        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let topic = NewTopic::new(
            &name,
            i32::try_from(PARTITIONS)?,
            TopicReplication::Fixed(1),
        )
        .set("message.timestamp.type", times);

        for result in admin.create_topics([&topic], &AdminOptions::new()).await? {
            result.map_err(|(name, code)| {
                anyhow::anyhow!("the topic {name} could not be made: {code}")
            })?;
        }

        Ok(name)
    }

    pub(super) fn producer(&self, linger: &str) -> anyhow::Result<Producer> {
        let producer = self
            .config()
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", linger)
            .set("queue.buffering.max.kbytes", "65536")
            .create()?;

        Ok(Producer(producer))
    }

    /// Reads `count` records from the start of a topic and drops them. Returns the time it took.
    pub(super) fn consume(&self, topic: &str, count: usize) -> anyhow::Result<Duration> {
        let consumer: BaseConsumer = self
            .config()
            .set("group.id", "bench")
            .set("enable.auto.commit", "false")
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.wait.max.ms", "10")
            .set("queued.min.messages", "1000000")
            .create()?;

        let started = Instant::now();
        consumer.assign(&partitions(topic, Offset::Beginning)?)?;

        for _ in 0..count {
            consumer.poll(PATIENCE).context("the topic ended early")??;
        }

        Ok(started.elapsed())
    }

    /// A reader of a topic from its start, at its lowest latency.
    pub(super) fn reader(&self, topic: &str) -> anyhow::Result<BaseConsumer> {
        let consumer: BaseConsumer = self
            .config()
            .set("group.id", "bench")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "10")
            .create()?;
        consumer.assign(&partitions(topic, Offset::Beginning)?)?;
        Ok(consumer)
    }

    /// Kafka's times of the first `count` records of a topic, in milliseconds since 1970, by
    /// partition and in the order of their offsets.
    pub(super) fn append_times(
        &self,
        topic: &str,
        count: usize,
    ) -> anyhow::Result<HashMap<u32, Vec<i64>>> {
        let consumer = self.reader(topic)?;
        let mut times = HashMap::<u32, Vec<i64>>::new();

        for _ in 0..count {
            let message = consumer.poll(PATIENCE).context("the topic ended early")??;
            let time = message.timestamp().to_millis().context("a record's time")?;
            times
                .entry(u32::try_from(message.partition())?)
                .or_default()
                .push(time);
        }
        Ok(times)
    }

    /// A client that reads the progress of the event source mapping.
    pub(super) fn group_progress(&self, topic: &str) -> anyhow::Result<GroupProgress> {
        let consumer = self.config().set("group.id", GROUP).create()?;

        Ok(GroupProgress {
            consumer,
            partitions: partitions(topic, Offset::Invalid)?,
        })
    }
}

/// All partitions of a topic, from `offset` on.
pub(super) fn partitions(topic: &str, offset: Offset) -> anyhow::Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(topic, i32::try_from(partition)?, offset)?;
    }

    Ok(list)
}

/// Appends records to the partitions that the feed chose.
pub(super) struct Producer(ThreadedProducer<DefaultProducerContext>);

impl Producer {
    /// Passes a record to the client, and waits while the client's queue is full.
    pub(super) fn send(&self, topic: &str, record: &Record) -> anyhow::Result<()> {
        let partition = i32::try_from(record.partition)?;

        let mut message = BaseRecord::to(topic)
            .key(&record.key)
            .payload(&record.value)
            .partition(partition)
            .timestamp(record.timestamp);

        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.0.send(message) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if Instant::now() < deadline =>
                {
                    message = back;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err((error, _)) => return Err(error).context("the broker takes no records"),
            }
        }
    }

    /// Waits until the broker has acknowledged everything.
    pub(super) fn flush(&self) -> anyhow::Result<()> {
        Ok(self.0.flush(PATIENCE)?)
    }
}

/// The committed offsets of the averager's consumer group.
pub(super) struct GroupProgress {
    consumer: BaseConsumer,
    partitions: TopicPartitionList,
}

impl GroupProgress {
    /// The number of records whose offsets are committed.
    pub(super) fn committed(&self) -> anyhow::Result<usize> {
        let committed = self
            .consumer
            .committed_offsets(self.partitions.clone(), PATIENCE)?;

        let offsets = committed
            .elements()
            .into_iter()
            .filter_map(|element| element.offset().to_raw());

        let sum: i64 = offsets.filter(|offset| *offset > 0).sum();
        ensure!(sum >= 0, "negative offsets");
        Ok(usize::try_from(sum)?)
    }
}
