//! A broker with a price topic and a dead-letter topic, and letters in the latter.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DefaultProducerContext, FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use shared::config::{Kafka, KafkaSecurity};
use shared::dead_letters::port::KafkaDeadLetters;
use shared::dead_letters::{Action, Line, Options, Outcome, Report};

const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const PARTITIONS: i32 = 6;

pub(crate) struct World {
    _broker: MockCluster<'static, DefaultProducerContext>,
    kafka: Kafka,
    producer: FutureProducer,
}

/// A record of the price topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Vec<u8>,
    /// The header that counts how often it was sent back.
    pub(crate) redriven: Option<String>,
}

impl World {
    pub(crate) fn new() -> Self {
        let broker = MockCluster::new(1).unwrap();
        broker.create_topic("price-events", PARTITIONS, 1).unwrap();
        broker.create_topic("price-events.dlt", 2, 1).unwrap();

        let kafka = Kafka {
            bootstrap_servers: broker.bootstrap_servers(),
            security: KafkaSecurity::Plaintext,
            price_topic: "price-events".to_owned(),
            dead_letter_topic: "price-events.dlt".to_owned(),
        };

        let producer = ClientConfig::new()
            .set("bootstrap.servers", &kafka.bootstrap_servers)
            .create()
            .unwrap();

        Self {
            _broker: broker,
            kafka,
            producer,
        }
    }

    /// Appends `letter` to the dead-letter topic.
    pub(crate) async fn dead(&self, partition: i32, letter: &str) {
        let record = FutureRecord::<[u8], str>::to("price-events.dlt")
            .partition(partition)
            .payload(letter);

        self.producer.send(record, PATIENCE).await.unwrap();
    }

    /// The letters as functions use them.
    pub(crate) fn letters(&self) -> KafkaDeadLetters {
        KafkaDeadLetters::new(&self.kafka)
    }

    /// Runs the command's work. Returns the outcome, and the offset and action of each reported
    /// letter.
    pub(crate) async fn redrive(
        &self,
        reason: Option<&str>,
        dry_run: bool,
    ) -> (Outcome, Vec<(i64, Action)>) {
        let options = Options {
            kafka: self.kafka.clone(),
            reason: reason.map(str::to_owned),
            dry_run,
            limit: None,
        };

        let run = move || {
            let mut told = Told::default();
            let outcome = shared::dead_letters::redrive(&options, &mut told).unwrap();
            (outcome, told.0)
        };

        tokio::task::spawn_blocking(run).await.unwrap()
    }

    /// All records of the price topic, partition by partition.
    pub(crate) async fn records(&self) -> Vec<Record> {
        let servers = self.kafka.bootstrap_servers.clone();
        tokio::task::spawn_blocking(move || read_all(&servers))
            .await
            .unwrap()
    }
}

/// The header that counts how often a record was sent back.
fn redriven(message: &BorrowedMessage<'_>) -> Option<String> {
    let headers = message.headers()?;
    let header = headers.iter().find(|header| header.key == "redriven")?;
    Some(String::from_utf8(header.value?.to_vec()).unwrap())
}

fn read_all(servers: &str) -> Vec<Record> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "reader")
        .create()
        .unwrap();

    let mut assignment = TopicPartitionList::new();
    let mut expected = 0;

    for partition in 0..PARTITIONS {
        let (low, high) = consumer
            .fetch_watermarks("price-events", partition, PATIENCE)
            .unwrap();
        assignment
            .add_partition_offset("price-events", partition, Offset::Beginning)
            .unwrap();
        expected += usize::try_from(high - low).unwrap();
    }

    consumer.assign(&assignment).unwrap();

    let mut records = Vec::new();
    while records.len() < expected {
        let message = consumer.poll(PATIENCE).unwrap().unwrap();
        records.push(Record {
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis().unwrap(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().unwrap().to_vec(),
            redriven: redriven(&message),
        });
    }

    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

#[derive(Default)]
struct Told(Vec<(i64, Action)>);

impl Report for Told {
    fn letter(&mut self, line: &Line<'_>) {
        self.0.push((line.offset, line.action));
    }

    fn progress(&mut self, _outcome: &Outcome) {}
}

/// The original record of a letter, with its place and its time.
pub(crate) fn original(offset: i64, value: &str) -> Value {
    json!({
        "topic": "price-events", "partition": 3, "offset": offset, "timestamp": 1_710_930_605_000_i64 + offset,
        "timestampType": "CREATE_TIME", "key": BASE64.encode("AAPL"), "value": BASE64.encode(value), "headers": [],
    })
}

/// The envelope that Lambda writes around `record`.
pub(crate) fn envelope(condition: &str, record: &Value) -> String {
    json!({
        "requestContext": {
            "requestId": "316aa6d0", "functionArn": "arn:aws:lambda:eu-west-1:123456789012:function:averager",
            "condition": condition, "approximateInvokeCount": 3,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2024-03-20T11:00:00.000Z",
        "KafkaBatchInfo": {"batchSize": 1, "recordInfo": {"offset": record["offset"].to_string()}},
        "payload": {"eventSource": "aws:kafka", "records": {"price-events-3": [record]}},
    })
    .to_string()
}

/// A quote without `id` and `polled_at`, as foreign producers send it.
pub(crate) fn bare(minute: u8, price: &str) -> String {
    format!(
        r#"{{"symbol":"AAPL","price":{price},"timestamp":"2024-03-20T10:{minute:02}:00Z","source":"yahoo"}}"#
    )
}
