//! The mapping on librdkafka's mock broker, with a function that each test controls.

use std::collections::{BTreeMap, HashSet};

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::future::BoxFuture;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DefaultProducerContext, FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::DropGuard;

use super::*;
use crate::invoker::{FunctionError, InvokeError, Outcome};
use crate::template::StartingPosition;

mod batches;
mod failures;
mod group;

/// Longest wait for anything that a test expects.
const DEADLINE: Duration = Duration::from_secs(60);

const TOPIC: &str = "prices";
const DEAD_LETTER_TOPIC: &str = "prices.dlt";

/// A broker with both topics: the records' with two partitions, the dead letters' with one.
fn broker() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 2, 1).unwrap();
    cluster.create_topic(DEAD_LETTER_TOPIC, 1, 1).unwrap();
    cluster
}

pub(super) fn definition() -> EventSourceMapping {
    EventSourceMapping {
        id: "averager-prices".to_owned(),
        function: "averager".to_owned(),
        event_source_arn: "arn:aws:kafka:us-east-1:000000000000:cluster/local/1".to_owned(),
        topic: TOPIC.to_owned(),
        consumer_group: "averager".to_owned(),
        starting_position: StartingPosition::TrimHorizon,
        batch_size: 100,
        batching_window: Duration::ZERO,
        max_retry_attempts: Some(1),
        bisect_on_error: true,
        max_record_age: None,
        report_batch_item_failures: false,
        on_failure_topic: Some(DEAD_LETTER_TOPIC.to_owned()),
    }
}

fn reader(bootstrap_servers: &str) -> Reader {
    Reader {
        bootstrap_servers: bootstrap_servers.to_owned(),
        member: None,
        concurrency: 1,
    }
}

fn two_at_a_time(bootstrap_servers: &str) -> Reader {
    Reader {
        concurrency: 2,
        ..reader(bootstrap_servers)
    }
}

/// A function that fails on poison values. It records each call, and returns once the gate has a
/// permit.
#[derive(Debug)]
struct FakeFunction {
    calls: watch::Sender<Vec<Vec<String>>>,
    poison: Mutex<HashSet<String>>,
    /// How many of the next calls are refused, as by a host that stops.
    refusals: Mutex<usize>,
    gate: Semaphore,
}

impl FakeFunction {
    fn open(poison: &[&str]) -> Arc<Self> {
        Self::with(poison, Semaphore::MAX_PERMITS / 2)
    }

    /// A function whose calls wait until permits are added to the gate.
    fn closed() -> Arc<Self> {
        Self::with(&[], 0)
    }

    fn with(poison: &[&str], permits: usize) -> Arc<Self> {
        let poison = poison.iter().map(|value| (*value).to_owned()).collect();

        Arc::new(Self {
            calls: watch::Sender::default(),
            poison: Mutex::new(poison),
            refusals: Mutex::default(),
            gate: Semaphore::new(permits),
        })
    }

    /// Returns the values of each call so far, once `enough` accepts them.
    async fn calls(&self, enough: impl FnMut(&Vec<Vec<String>>) -> bool) -> Vec<Vec<String>> {
        let mut calls = self.calls.subscribe();

        let reached = calls.wait_for(enough);
        tokio::time::timeout(DEADLINE, reached)
            .await
            .expect("the function was not called")
            .unwrap()
            .clone()
    }
}

impl Invoker for FakeFunction {
    fn invoke<'a>(
        &'a self,
        _: &'a str,
        payload: Bytes,
    ) -> BoxFuture<'a, Result<Outcome, InvokeError>> {
        let values = values(&serde_json::from_slice(&payload).unwrap());

        Box::pin(async move {
            {
                let mut refusals = self.refusals.lock().unwrap();
                if let Some(left) = refusals.checked_sub(1) {
                    *refusals = left;
                    return Err(InvokeError::Stopping);
                }
            }

            self.calls.send_modify(|calls| calls.push(values.clone()));
            self.gate.acquire().await.unwrap().forget();

            let poison = self.poison.lock().unwrap();
            if !values.iter().any(|value| poison.contains(value)) {
                return Ok(Outcome::Success(Bytes::from_static(b"null")));
            }

            let (error_type, message) = ("Unhandled".to_owned(), "as told".to_owned());
            Ok(Outcome::FunctionError(FunctionError {
                error_type,
                message,
                payload: Bytes::from_static(b"{}"),
            }))
        })
    }
}

/// Returns the values in an event, partition by partition.
fn values(event: &Value) -> Vec<String> {
    let partitions: BTreeMap<String, Vec<Value>> =
        serde_json::from_value(event["records"].clone()).unwrap();

    let value = |record: &Value| {
        String::from_utf8(BASE64.decode(record["value"].as_str().unwrap()).unwrap()).unwrap()
    };

    partitions.values().flatten().map(value).collect()
}

/// A running mapping. It is started once it has its partitions.
struct Running {
    stop: CancellationToken,
    status: Arc<Status>,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(
        definition: EventSourceMapping,
        bootstrap_servers: &str,
        function: &Arc<FakeFunction>,
    ) -> Self {
        Self::start_with(definition, reader(bootstrap_servers), function).await
    }

    async fn start_with(
        definition: EventSourceMapping,
        reader: Reader,
        function: &Arc<FakeFunction>,
    ) -> Self {
        let (running, joined) = Self::joining(definition, reader, function);

        tokio::time::timeout(DEADLINE, joined)
            .await
            .expect("no partitions were assigned")
            .unwrap();

        running
    }

    fn joining(
        definition: EventSourceMapping,
        reader: Reader,
        function: &Arc<FakeFunction>,
    ) -> (Self, oneshot::Receiver<()>) {
        let (ready, joined) = oneshot::channel();
        let stop = CancellationToken::new();
        let invoker: Arc<dyn Invoker> = Arc::<FakeFunction>::clone(function);
        let status = Arc::new(Status::new(&definition));

        let run = run(
            definition,
            reader,
            invoker,
            ready,
            Arc::clone(&status),
            stop.clone(),
        );

        (
            Self {
                stop,
                status,
                task: tokio::spawn(run),
            },
            joined,
        )
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(DEADLINE, self.task)
            .await
            .expect("the mapping did not stop")
            .unwrap();
    }
}

/// A collector with one lane and batches of three. A test takes each batch by calling `offsets`.
struct Gathering {
    consumer: Arc<Consumer>,
    lane: lane::Outlet,
    /// Guards, so that the thread ends even if the test fails.
    ends: [DropGuard; 2],
    thread: JoinHandle<()>,
}

impl Gathering {
    fn start(bootstrap_servers: &str) -> Self {
        let reader = reader(bootstrap_servers);
        let status = Arc::new(Status::new(&definition()));
        let consumer =
            Arc::new(consumer::join(&definition(), &reader, Ready::default(), status).unwrap());

        let (reader_end, commits_end) = (CancellationToken::new(), CancellationToken::new());
        let (collector, mut lanes) = Collector::new(
            Arc::clone(&consumer),
            1,
            3,
            Duration::ZERO,
            reader_end.clone(),
            commits_end.clone(),
        );

        let thread = tokio::task::spawn_blocking(move || collector.run());
        Self {
            consumer,
            lane: lanes.remove(0),
            ends: [reader_end.drop_guard(), commits_end.drop_guard()],
            thread,
        }
    }

    /// Returns the offsets of the next batch's first partition.
    async fn offsets(&mut self) -> Vec<i64> {
        self.lane.ready();
        let batch = tokio::time::timeout(DEADLINE, self.lane.batches.recv()).await;

        let batch = batch
            .expect("reading stood still")
            .unwrap()
            .close(&EventHead::new("arn", "b:1"), TOPIC);

        batch.partitions[0]
            .records
            .iter()
            .map(|record| record.offset)
            .collect()
    }

    async fn stop(self) {
        drop((self.lane, self.consumer, self.ends));
        self.thread.await.unwrap();
    }
}

/// Appends values to a partition, each under the key `AAPL`, and waits for each acknowledgement.
async fn produce(bootstrap_servers: &str, partition: i32, values: &[&str]) {
    let config = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .clone();
    let producer: FutureProducer = config.create().unwrap();

    for value in values {
        let record = FutureRecord::to(TOPIC)
            .partition(partition)
            .key("AAPL")
            .payload(*value);
        producer.send(record, Timeout::Never).await.unwrap();
    }
}

fn client(bootstrap_servers: &str, group: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();

    config
        .set("bootstrap.servers", bootstrap_servers)
        .set("group.id", group);

    config
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "20")
        .create()
        .unwrap()
}

/// Returns the group's committed offset of a partition, if there is one.
async fn committed(bootstrap_servers: &str, partition: i32) -> Option<i64> {
    let bootstrap_servers = bootstrap_servers.to_owned();

    let asked = tokio::task::spawn_blocking(move || {
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition(TOPIC, partition);
        let consumer = client(&bootstrap_servers, "averager");
        let offsets = consumer
            .committed_offsets(partitions, Duration::from_secs(20))
            .unwrap();

        match offsets.elements()[0].offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    });

    asked.await.unwrap()
}

/// Waits until `holds` returns true. `what` names the condition if the deadline passes.
async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let reached = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };

    tokio::time::timeout(DEADLINE, reached)
        .await
        .unwrap_or_else(|_| panic!("never {what}"));
}

async fn until_committed(bootstrap_servers: &str, partition: i32, offset: i64) {
    let reached = async { while committed(bootstrap_servers, partition).await != Some(offset) {} };

    tokio::time::timeout(DEADLINE, reached)
        .await
        .expect("the offset was not committed");
}

/// Returns the keys and values of the first `count` dead letters.
async fn dead_letters(bootstrap_servers: &str, count: usize) -> Vec<(String, Value)> {
    let bootstrap_servers = bootstrap_servers.to_owned();

    let read = tokio::task::spawn_blocking(move || {
        let consumer = client(&bootstrap_servers, "reader");
        let mut partitions = TopicPartitionList::new();
        partitions
            .add_partition_offset(DEAD_LETTER_TOPIC, 0, Offset::Beginning)
            .unwrap();
        consumer.assign(&partitions).unwrap();

        let letters = std::iter::from_fn(|| consumer.poll(DEADLINE)).map(|message| {
            let message = message.unwrap();
            let key = String::from_utf8(message.key().unwrap().to_vec()).unwrap();
            (
                key,
                serde_json::from_slice(message.payload().unwrap()).unwrap(),
            )
        });

        letters.take(count).collect()
    });

    read.await.unwrap()
}
