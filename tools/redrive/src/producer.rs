//! Sends records, and reports which of them the brokers acknowledged.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use shared::config::Kafka;
use shared::price_log::security;

/// Longest that a record waits for its acknowledgement.
const ACKNOWLEDGEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// The result of sending a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// All replicas have it.
    Acknowledged,
    /// It is larger than the brokers allow.
    TooLarge,
    /// Any other error.
    Failed(RDKafkaErrorCode),
}

/// Sends records to one topic.
pub(crate) struct Producer {
    producer: BaseProducer<Deliveries>,
    topic: String,
}

/// Deliveries reported since the last call, each with the number of its record.
#[derive(Default)]
struct Deliveries(Mutex<Vec<(usize, Delivery)>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<usize>) {
        let delivery = result
            .as_ref()
            .map_or_else(|(error, _)| failure(error), |_| Delivery::Acknowledged);
        self.note(*number, delivery);
    }
}

impl Deliveries {
    fn note(&self, number: usize, delivery: Delivery) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((number, delivery));
    }
}

fn failure(error: &KafkaError) -> Delivery {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => Delivery::TooLarge,
        code => Delivery::Failed(code.unwrap_or(RDKafkaErrorCode::Fail)),
    }
}

impl Producer {
    pub(crate) fn open(kafka: &Kafka) -> anyhow::Result<Self> {
        let mut config = ClientConfig::new();
        security::apply(&kafka.security, &mut config);

        let producer: BaseProducer<Deliveries> = config
            .set("bootstrap.servers", &kafka.bootstrap_servers)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("allow.auto.create.topics", "false")
            // The Java client's choice, so that a key returns to its original partition.
            .set("partitioner", "murmur2_random")
            .set(
                "message.timeout.ms",
                ACKNOWLEDGEMENT_TIMEOUT.as_millis().to_string(),
            )
            // The limit on a record's size is the broker's.
            .set("message.max.bytes", "16000000")
            .create_with_context(Deliveries::default())
            .context("cannot make the Kafka producer")?;

        // Before the first record: this client never requests a token itself.
        security::log_in(&kafka.security, producer.client())?;

        Ok(Self {
            producer,
            topic: kafka.price_topic.clone(),
        })
    }

    /// Queues a record. An error is reported by [`Self::deliveries`].
    pub(crate) fn send(&self, number: usize, key: Option<&[u8]>, value: &[u8]) {
        let mut record = BaseRecord::<[u8], [u8], _>::with_opaque_to(&self.topic, Box::new(number))
            .payload(value);
        record.key = key;

        if let Err((error, _)) = self.producer.send(record) {
            self.producer.context().note(number, failure(&error));
        }
    }

    /// Waits for all queued records, and returns the result of each.
    pub(crate) fn deliveries(&self) -> anyhow::Result<Vec<(usize, Delivery)>> {
        self.producer
            .flush(2 * ACKNOWLEDGEMENT_TIMEOUT)
            .context("Kafka did not acknowledge the records")?;

        let mut reported = self
            .producer
            .context()
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *reported))
    }
}
