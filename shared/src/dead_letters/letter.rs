//! A dead letter: Lambda's envelope for a Kafka on-failure destination.
//!
//! Shape: <https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure.html>.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use serde::Deserialize;

use crate::price_event::RecordCoordinates;
use crate::redriving::value_to_send;

/// How often a record is sent back at most.
pub const MOST_TIMES: u8 = 3;
/// The header of a record that was sent back: how often, as a digit.
pub const HEADER: &str = "redriven";

/// A record, and why it became a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Why Lambda discarded it, such as `RetriesExhausted`.
    pub condition: String,
    /// How the function failed, such as `Unhandled`; `None` if it was not invoked.
    pub function_error: Option<String>,
    /// Topic of the original record.
    pub topic: String,
    /// Partition of the original record.
    pub partition: i32,
    /// Offset of the original record.
    pub offset: i64,
    /// Kafka's timestamp of the original record, in milliseconds since 1970.
    pub timestamp: i64,
    /// The original record's key.
    pub key: Option<Vec<u8>>,
    /// The original record's value.
    pub value: Vec<u8>,
    /// How often the record was sent back before.
    pub redriven: u8,
}

/// Why a letter cannot be sent back. It is left in the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// The value is not Lambda's envelope, or the envelope has no record.
    #[error("not a dead letter of an event source mapping")]
    NotALetter,
    /// The record was too large for the dead-letter topic, or never had a value.
    #[error("the letter does not hold the record's value")]
    NoValue,
    /// The record belongs to a topic other than the price topic.
    #[error("the record is of another topic")]
    OtherTopic,
    /// The record was sent back [`MOST_TIMES`], and failed each time.
    #[error("the record was sent back three times, and failed each time")]
    TooOften,
    /// The brokers do not accept a record of this size.
    #[error("the record is too large for the topic")]
    TooLarge,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow)]
    request_context: RequestContext<'a>,
    #[serde(borrow, default)]
    response_context: Option<ResponseContext<'a>>,
    #[serde(borrow)]
    payload: Payload<'a>,
}

#[derive(Deserialize)]
struct RequestContext<'a> {
    #[serde(borrow)]
    condition: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResponseContext<'a> {
    #[serde(borrow, default)]
    function_error: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    records: BTreeMap<Cow<'a, str>, Vec<Record<'a>>>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    partition: i32,
    offset: i64,
    timestamp: i64,
    #[serde(borrow, default)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    value: Option<Cow<'a, str>>,
    #[serde(default)]
    headers: Vec<BTreeMap<String, Vec<i16>>>,
}

/// How often the headers say that the record was sent back.
fn times_redriven(headers: &[BTreeMap<String, Vec<i16>>]) -> u8 {
    let values = headers.iter().filter_map(|header| header.get(HEADER));
    let digits = values.filter_map(|value| match value.as_slice() {
        [digit] => u8::try_from(digit - i16::from(b'0')).ok(),
        _ => None,
    });
    digits.max().unwrap_or(0)
}

impl Letter {
    /// Decodes an envelope.
    ///
    /// # Errors
    /// When it is not an envelope, or contains no value.
    pub fn read(envelope: &[u8]) -> Result<Self, Unsendable> {
        let envelope: Envelope<'_> =
            serde_json::from_slice(envelope).map_err(|_| Unsendable::NotALetter)?;
        let record = envelope
            .payload
            .records
            .into_values()
            .flatten()
            .next()
            .ok_or(Unsendable::NotALetter)?;

        let bytes =
            |text: Cow<'_, str>| STANDARD.decode(&*text).map_err(|_| Unsendable::NotALetter);

        Ok(Self {
            condition: envelope.request_context.condition.into_owned(),
            function_error: envelope
                .response_context
                .and_then(|response| response.function_error)
                .map(Cow::into_owned),
            topic: record.topic.into_owned(),
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            redriven: times_redriven(&record.headers),
            key: record.key.map(bytes).transpose()?,
            value: bytes(record.value.ok_or(Unsendable::NoValue)?)?,
        })
    }

    /// Whether `reason` is its condition or the function's error, ignoring case.
    #[must_use]
    pub fn has_reason(&self, reason: &str) -> bool {
        self.condition.eq_ignore_ascii_case(reason)
            || self
                .function_error
                .as_ref()
                .is_some_and(|error| error.eq_ignore_ascii_case(reason))
    }

    /// The value to send: see [`value_to_send`].
    #[must_use]
    pub fn value_to_send(&self) -> Cow<'_, [u8]> {
        // Kafka represents a missing timestamp as -1.
        let timestamp =
            DateTime::from_timestamp_millis(self.timestamp).filter(|_| self.timestamp >= 0);
        let coordinates = RecordCoordinates {
            topic: &self.topic,
            partition: self.partition,
            offset: self.offset,
            timestamp,
        };

        value_to_send(&self.value, &coordinates)
    }
}

#[cfg(test)]
mod tests;
