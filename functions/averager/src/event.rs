//! The event that Lambda's event source mapping hands over: records of Kafka, borrowed from the event's text.
//!
//! Shape: <https://docs.aws.amazon.com/lambda/latest/dg/with-msk.html>. Only what the averager needs is read, so
//! that a header or a timestamp nobody expected cannot spoil a whole batch.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use crate::batch::EventError;

/// A batch of records, by `topic-partition`.
#[derive(Debug, Deserialize)]
pub struct KafkaEvent<'a> {
    /// The records of each partition, in the order of their offsets.
    #[serde(borrow)]
    pub records: BTreeMap<Cow<'a, str>, Vec<KafkaRecord<'a>>>,
}

impl<'a> KafkaEvent<'a> {
    /// Reads the event's JSON.
    ///
    /// # Errors
    /// When it is not that of such an event.
    pub fn read(event: &'a str) -> Result<Self, EventError> {
        serde_json::from_str(event).map_err(EventError::NotKafka)
    }
}

/// One record; `key` and `value` are base64.
#[derive(Debug, Deserialize)]
pub struct KafkaRecord<'a> {
    /// Topic of the record.
    #[serde(borrow)]
    pub topic: Cow<'a, str>,
    /// Partition of the topic.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Milliseconds since 1970, as Kafka has it: -1 when it has none.
    pub timestamp: i64,
    /// The record's key.
    #[serde(borrow, default)]
    pub key: Option<Base64<'a>>,
    /// The record's value; `None` is a tombstone.
    #[serde(borrow, default)]
    pub value: Option<Base64<'a>>,
}

/// Bytes as base64, borrowed from the event; serde borrows no plain `Option<Cow<str>>`.
#[derive(Debug, Deserialize)]
pub struct Base64<'a>(#[serde(borrow)] pub Cow<'a, str>);
