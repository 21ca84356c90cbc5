//! Publishes a stream, and records what Kafka acknowledged.

use std::time::Duration;

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};
use tokio_util::sync::CancellationToken;

use super::stream::{Fate, Record, Stream};

/// The most records that one stream publishes.
const MOST: usize = 40_000;

/// A record that Kafka acknowledged, with its place.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// The partition it was appended to.
    pub partition: i32,
    /// Its offset in that partition.
    pub offset: i64,
    /// Its value, as it was sent.
    pub value: Option<Vec<u8>>,
    /// What must become of it.
    pub fate: Fate,
}

/// Sends records, and remembers each until its acknowledgement.
pub struct Publisher {
    producer: FutureProducer,
    topic: String,
    sent: Vec<(Record, DeliveryFuture)>,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher")
            .field("topic", &self.topic)
            .field("sent", &self.sent.len())
            .finish()
    }
}

impl Publisher {
    /// A publisher that compresses with `codec` and retries for longer than any fault here lasts.
    ///
    /// # Errors
    /// When the address is malformed, or the client does not know the codec.
    pub fn connect(bootstrap_servers: &str, topic: &str, codec: &str) -> anyhow::Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "2")
            .set("compression.type", codec)
            .set("message.timeout.ms", "120000")
            .set("reconnect.backoff.max.ms", "500")
            .set("log_level", "0")
            .create()?;

        Ok(Self {
            producer,
            topic: topic.to_owned(),
            sent: Vec::new(),
        })
    }

    /// Publishes bursts of the stream until `stop` is cancelled or the stream is long enough.
    ///
    /// # Errors
    /// When the client refuses a record.
    pub async fn publish(
        &mut self,
        stream: &mut Stream,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        while self.sent.len() < MOST && !stop.is_cancelled() {
            let (count, pause) = stream.burst();

            for _ in 0..count {
                let record = stream.next().context("the stream has ended")?;
                self.send(record).await?;
            }

            let _stopped = stop
                .run_until_cancelled(tokio::time::sleep(Duration::from_millis(pause)))
                .await;
        }
        Ok(())
    }

    /// Passes one record to the client, and waits while the client's queue is full.
    ///
    /// # Errors
    /// When the client refuses it.
    pub async fn send(&mut self, record: Record) -> anyhow::Result<()> {
        loop {
            let mut message = FutureRecord::<str, [u8]>::to(&self.topic);
            (message.key, message.payload) = (record.key.as_deref(), record.value.as_deref());
            message.timestamp = record.timestamp;

            match self.producer.send_result(message) {
                Ok(delivery) => {
                    self.sent.push((record, delivery));
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err((error, _)) => return Err(error).context("the client refuses a record"),
            }
        }
    }

    /// Waits for all acknowledgements, and returns the records that got one.
    pub async fn acknowledged(self) -> Vec<Acknowledged> {
        let mut acknowledged = Vec::with_capacity(self.sent.len());
        for (Record { value, fate, .. }, delivery) in self.sent {
            if let Ok(Ok(delivery)) = delivery.await {
                let (partition, offset) = (delivery.partition, delivery.offset);
                acknowledged.push(Acknowledged {
                    partition,
                    offset,
                    value,
                    fate,
                });
            }
        }
        acknowledged
    }
}
