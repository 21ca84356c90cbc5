//! Records written to the topic directly, as a foreign producer would.

use std::time::Duration;

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

/// The topic of price events.
pub const PRICE_EVENTS: &str = "price-events";

/// A producer that sends any bytes, without checking them.
#[derive(Clone)]
pub struct Producer(FutureProducer);

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Producer")
    }
}

impl Producer {
    /// A producer for the broker at `bootstrap_servers`, without compression.
    ///
    /// # Errors
    /// When the address is malformed.
    pub fn connect(bootstrap_servers: &str) -> anyhow::Result<Self> {
        Self::compressing(bootstrap_servers, "none")
    }

    /// A producer whose batches are compressed with `codec`.
    ///
    /// # Errors
    /// When the address is malformed, or the client does not know the codec.
    pub fn compressing(bootstrap_servers: &str, codec: &str) -> anyhow::Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("compression.type", codec)
            // Long enough for records that are sent together to form one batch.
            .set("linger.ms", if codec == "none" { "1" } else { "50" })
            .create()?;
        Ok(Self(producer))
    }

    /// Appends a record, waits for its acknowledgement, and returns its partition and offset.
    ///
    /// # Errors
    /// When the broker does not acknowledge.
    pub async fn send(&self, key: &str, value: &[u8]) -> anyhow::Result<(i32, i64)> {
        self.append(FutureRecord::to(PRICE_EVENTS).key(key).payload(value))
            .await
    }

    /// Appends a record with a time of its own, in milliseconds since 1970.
    ///
    /// # Errors
    /// When the broker does not acknowledge.
    pub async fn send_at(
        &self,
        key: &str,
        value: &[u8],
        timestamp: i64,
    ) -> anyhow::Result<(i32, i64)> {
        self.append(
            FutureRecord::to(PRICE_EVENTS)
                .key(key)
                .payload(value)
                .timestamp(timestamp),
        )
        .await
    }

    async fn append(&self, record: FutureRecord<'_, str, [u8]>) -> anyhow::Result<(i32, i64)> {
        let delivery = self.0.send(record, Duration::from_secs(10)).await;

        let delivery = delivery
            .map_err(|(error, _)| error)
            .context("the broker did not acknowledge")?;

        Ok((delivery.partition, delivery.offset))
    }
}
