//! The event that Lambda's event source mapping sends: Kafka records, borrowed from the event's
//! text.
//!
//! Format: <https://docs.aws.amazon.com/lambda/latest/dg/with-msk.html>. Only the fields that the
//! averager needs are read, so that an unexpected header or timestamp type cannot fail a whole
//! batch.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use crate::failure::EventError;

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
    /// When it is not the JSON that an event source mapping for Kafka sends.
    pub fn read(event: &'a [u8]) -> Result<Self, EventError> {
        serde_json::from_slice(event).map_err(EventError::NotKafka)
    }
}

/// One record; `key` and `value` are base64.
#[derive(Debug, Deserialize)]
pub struct KafkaRecord<'a> {
    /// The topic's name.
    #[serde(borrow)]
    pub topic: Cow<'a, str>,
    /// The partition's number, from 0.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// Kafka's timestamp in milliseconds since 1970; -1 if the record has none.
    pub timestamp: i64,
    /// The key; `None` if the record has none.
    #[serde(borrow, default)]
    pub key: Option<Base64<'a>>,
    /// The value; `None` in a tombstone.
    #[serde(borrow, default)]
    pub value: Option<Base64<'a>>,
}

/// Base64 text, borrowed from the event. It is a type of its own because serde does not borrow the
/// text of a plain `Option<Cow<str>>`.
#[derive(Debug, Deserialize)]
pub struct Base64<'a>(#[serde(borrow)] pub Cow<'a, str>);
