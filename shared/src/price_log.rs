//! The port to the log of price events.

use async_trait::async_trait;

use crate::price_event::PriceEvent;

pub mod backlog;
mod client;
mod iam;
pub mod kafka;
pub mod security;
pub mod topics;

/// A log to which price events are appended.
#[async_trait]
pub trait PriceLog: std::fmt::Debug + Send + Sync {
    /// Appends the events, keyed by symbol, and waits for each until all in-sync replicas have
    /// acknowledged it or it has failed (at most 3 s). Returns one result per event, in order.
    async fn append(&self, events: &[PriceEvent]) -> Vec<Result<(), PublishError>>;

    /// Appends records as they are, like [`PriceLog::append`].
    async fn append_records(&self, records: &[Record]) -> Vec<Result<(), PublishError>>;

    /// The name of the log's topic.
    fn topic(&self) -> &str;

    /// Checks that the log answers within `timeout`.
    ///
    /// # Errors
    /// When it does not answer, or does not have the topic.
    async fn check(&self, timeout: std::time::Duration) -> Result<(), PublishError>;
}

/// A record of the log, in any form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The key, which decides the partition.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Vec<u8>,
}

/// Why an event was not acknowledged, or the log cannot be written to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The broker did not acknowledge in time, or refused.
    #[error("Kafka did not acknowledge the event: {0}")]
    NotAcknowledged(String),
    /// The event could not be encoded as JSON.
    #[error("the event could not be written: {0}")]
    Unwritable(String),
    /// No broker answers.
    #[error("Kafka is not available: {0}")]
    Unavailable(String),
    /// The brokers answer, but do not have this topic.
    #[error("Kafka has no topic {0}")]
    NoTopic(String),
}
