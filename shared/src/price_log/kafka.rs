//! The log of price events on Kafka.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::producer::future_producer::OwnedDeliveryResult;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer};
use tokio::time::{Instant, timeout_at};

use super::client::{self, Context};
use super::{PriceLog, PublishError, Record};
use crate::config::Kafka;
use crate::price_event::PriceEvent;

/// Longest that [`PriceLog::append`] waits for acknowledgements.
const ACKNOWLEDGEMENT_TIMEOUT: Duration = Duration::from_secs(3);

type LoggingProducer = FutureProducer<Context>;

/// Appends to one Kafka topic. The client is created at the first use: until then there is no
/// connection and no thread.
pub struct KafkaPriceLog {
    kafka: Kafka,
    producer: Mutex<Option<LoggingProducer>>,
}

impl KafkaPriceLog {
    /// A log on the price topic of `kafka`.
    #[must_use]
    pub fn new(kafka: &Kafka) -> Self {
        Self {
            kafka: kafka.clone(),
            producer: Mutex::new(None),
        }
    }

    /// The client, created at the first call.
    fn producer(&self) -> Result<LoggingProducer, PublishError> {
        let mut slot = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(producer) = &*slot {
            return Ok(producer.clone());
        }

        Ok(slot.insert(new_producer(&self.kafka)?).clone())
    }

    fn enqueue(
        &self,
        producer: &LoggingProducer,
        key: Option<&[u8]>,
        value: &[u8],
    ) -> Result<DeliveryFuture, PublishError> {
        let mut record = FutureRecord::to(&self.kafka.price_topic).payload(value);
        record.key = key;

        producer
            .send_result(record)
            .map_err(|(error, _)| PublishError::NotAcknowledged(error.to_string()))
    }

    /// Queues all of them before the first acknowledgement is awaited, so that they share batches
    /// and one deadline.
    async fn append_all<'a, T: 'a>(
        &self,
        items: impl ExactSizeIterator<Item = T>,
        enqueue: impl Fn(&LoggingProducer, T) -> Result<DeliveryFuture, PublishError>,
    ) -> Vec<Result<(), PublishError>> {
        let deadline = Instant::now() + ACKNOWLEDGEMENT_TIMEOUT;
        let producer = match self.producer() {
            Ok(producer) => producer,
            Err(error) => return items.map(|_| Err(error.clone())).collect(),
        };
        let sent: Vec<_> = items.map(|item| enqueue(&producer, item)).collect();

        let mut results = Vec::with_capacity(sent.len());
        for delivery in sent {
            results.push(match delivery {
                Ok(delivery) => acknowledged(
                    timeout_at(deadline, delivery)
                        .await
                        .ok()
                        .and_then(Result::ok),
                ),
                Err(error) => Err(error),
            });
        }

        results
    }
}

impl fmt::Debug for KafkaPriceLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaPriceLog")
            .field("kafka", &self.kafka)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl PriceLog for KafkaPriceLog {
    async fn append(&self, events: &[PriceEvent]) -> Vec<Result<(), PublishError>> {
        let enqueue = |producer: &LoggingProducer, event: &PriceEvent| {
            let value = event
                .encode()
                .map_err(|error| PublishError::Unwritable(error.to_string()))?;
            self.enqueue(producer, Some(event.symbol.as_str().as_bytes()), &value)
        };
        self.append_all(events.iter(), enqueue).await
    }

    async fn append_records(&self, records: &[Record]) -> Vec<Result<(), PublishError>> {
        let enqueue = |producer: &LoggingProducer, record: &Record| {
            self.enqueue(producer, record.key.as_deref(), &record.value)
        };
        self.append_all(records.iter(), enqueue).await
    }

    fn topic(&self) -> &str {
        &self.kafka.price_topic
    }

    async fn check(&self, timeout: Duration) -> Result<(), PublishError> {
        let producer = self.producer()?;
        let topic = self.kafka.price_topic.clone();

        let asked = tokio::task::spawn_blocking(move || {
            let metadata = producer.client().fetch_metadata(Some(&topic), timeout);
            let metadata = metadata.map_err(|error| client::unavailable(&error))?;
            client::existing(&metadata, &topic)
                .map(|_| ())
                .ok_or(PublishError::NoTopic(topic))
        });

        asked
            .await
            .unwrap_or_else(|error| Err(PublishError::Unavailable(error.to_string())))
    }
}

fn new_producer(kafka: &Kafka) -> Result<LoggingProducer, PublishError> {
    let timeout = ACKNOWLEDGEMENT_TIMEOUT.as_millis().to_string();
    let mut config = client::config(kafka);
    config
        .set("acks", "all")
        // With idempotence, the first record waits half a second for a producer id. Without it, a
        // retry may write a record twice or in another order; neither changes what is stored.
        .set("enable.idempotence", "false")
        // The Java client's choice for records with a key, so that a symbol has the same partition
        // with every producer.
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "1")
        .set("message.timeout.ms", &timeout)
        .set("request.timeout.ms", "2000")
        .set("socket.timeout.ms", &timeout)
        .set("queue.buffering.max.messages", "20000")
        .set("queue.buffering.max.kbytes", "32768");

    let context = Context::new(&kafka.security);
    FutureProducer::from_config_and_context(&config, context)
        .map_err(|error| client::unavailable(&error))
}

/// The result of a delivery report; `None` means that none arrived in time.
fn acknowledged(report: Option<OwnedDeliveryResult>) -> Result<(), PublishError> {
    match report {
        Some(Ok(_)) => Ok(()),
        Some(Err((error, _))) => Err(PublishError::NotAcknowledged(
            error
                .rdkafka_error_code()
                .map_or_else(|| error.to_string(), |code| code.to_string()),
        )),
        None => Err(PublishError::NotAcknowledged(format!(
            "no answer within {} s",
            ACKNOWLEDGEMENT_TIMEOUT.as_secs()
        ))),
    }
}

#[cfg(test)]
mod tests;
