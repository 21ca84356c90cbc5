//! Sends dead letters back to their original topic.
//!
//! A dead letter is the envelope that Lambda's event source mapping writes around a record whose
//! batch it discarded ([`letter`]). The record is sent again with its key unchanged. If it has no
//! identity, its id and poll time are derived from where and when Kafka first stored it, so that
//! the result does not depend on order. Acknowledged records are recorded in the offsets of the
//! consumer group `redrive` ([`progress`]), and a second run sends only the rest. A header counts
//! how often a record was sent, so that none goes round for ever.
//!
//! All functions here block.

use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use crate::price_log::PublishError;

pub mod letter;
pub mod progress;

mod letters;
pub mod port;
mod producer;
mod run;

pub use run::{Action, Line, Options, Outcome, Report, redrive};

/// Longest that a function waits for a run.
const TIME: Duration = Duration::from_secs(20);

/// Why dead letters were not sent back, or not all of them.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// A request to Kafka failed; the text says what it was for.
    #[error("{0}")]
    Kafka(&'static str, #[source] KafkaError),
    /// The brokers do not have the dead-letter topic.
    #[error("Kafka has no topic {0}")]
    NoTopic(String),
    /// The brokers sent nothing for so many seconds although records are left.
    #[error("Kafka was silent for {0} s")]
    Silent(u64),
    /// A record was not acknowledged.
    #[error("Kafka did not acknowledge every record: {0}")]
    NotAcknowledged(RDKafkaErrorCode),
    /// The login failed.
    #[error(transparent)]
    LogIn(#[from] PublishError),
}

/// The error of a request to Kafka that was made for this.
fn failed(purpose: &'static str) -> impl FnOnce(KafkaError) -> DeadLetterError {
    move |error| DeadLetterError::Kafka(purpose, error)
}
