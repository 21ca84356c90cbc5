//! Sends records, and reports which of them the brokers acknowledged.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use super::letter::HEADER;
use super::{DeadLetterError, failed};
use crate::config::Kafka;
use crate::price_log::security;

/// Longest that a record waits for its acknowledgement.
const ACKNOWLEDGEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// The result of sending a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// All replicas have it.
    Acknowledged,
    /// It is larger than the brokers allow.
    TooLarge,
    /// Any other error.
    Failed(RDKafkaErrorCode),
}

/// Sends records to one topic.
pub(super) struct Producer {
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
    pub(super) fn open(kafka: &Kafka) -> Result<Self, DeadLetterError> {
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
            .map_err(failed("cannot make the Kafka producer"))?;

        // Before the first record: this client never requests a token itself.
        security::log_in(&kafka.security, producer.client())?;

        Ok(Self {
            producer,
            topic: kafka.price_topic.clone(),
        })
    }

    /// Queues a record that is sent back for the `times`-th time. An error is reported by
    /// [`Self::deliveries`].
    pub(super) fn send(&self, number: usize, key: Option<&[u8]>, value: &[u8], times: u8) {
        let times = times.to_string();
        let header = Header {
            key: HEADER,
            value: Some(&times),
        };
        let mut record = BaseRecord::<[u8], [u8], _>::with_opaque_to(&self.topic, Box::new(number))
            .payload(value)
            .headers(OwnedHeaders::new_with_capacity(1).insert(header));
        record.key = key;

        if let Err((error, _)) = self.producer.send(record) {
            self.producer.context().note(number, failure(&error));
        }
    }

    /// Waits for all queued records, and returns the result of each.
    pub(super) fn deliveries(&self) -> Result<Vec<(usize, Delivery)>, DeadLetterError> {
        self.producer
            .flush(2 * ACKNOWLEDGEMENT_TIMEOUT)
            .map_err(failed("Kafka did not acknowledge the records"))?;

        let mut reported = self
            .producer
            .context()
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *reported))
    }
}
