//! Why an invocation fails, so that its batch comes again.

use lambda_runtime::Diagnostic;
use shared::repository;

/// Why an invocation's event cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// It is not the JSON that an event source mapping for Kafka sends.
    #[error("the invocation's event is not a Kafka batch: {0}")]
    NotKafka(#[source] serde_json::Error),
    /// A key or value is not base64, so the bytes of the record in Kafka are unknown.
    #[error("record {topic}-{partition} at offset {offset} is not base64")]
    NotBase64 {
        /// The record's topic.
        topic: String,
        /// The record's partition.
        partition: i32,
        /// The record's offset in the partition.
        offset: i64,
    },
}

/// Why a batch was not stored, so that the whole batch comes again.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The event itself cannot be read.
    #[error(transparent)]
    Event(#[from] EventError),
    /// Postgres refused the batch, or too many of its events.
    #[error("{}", .0.coded())]
    Repository(#[from] repository::Error),
    /// Postgres did not store it in time; with its last error, if it answered at all.
    #[error("Postgres did not store the batch before the invocation's time ran out{}", last_answer(.0.as_deref()))]
    TimedOut(Option<String>),
}

impl From<BatchError> for Diagnostic {
    fn from(error: BatchError) -> Self {
        let error_type = match error {
            BatchError::Event(_) => "UnreadableEvent",
            BatchError::Repository(_) | BatchError::TimedOut(_) => "BatchNotStored",
        };
        Self {
            error_type: error_type.to_owned(),
            error_message: error.to_string(),
        }
    }
}

fn last_answer(answer: Option<&str>) -> String {
    answer.map_or_else(String::new, |answer| format!("; its last answer: {answer}"))
}
