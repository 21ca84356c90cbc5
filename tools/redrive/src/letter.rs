//! A dead letter: Lambda's envelope for a Kafka on-failure destination.
//!
//! Shape: <https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure.html>.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::IgnoredAny;
use shared::price_event::{PriceEvent, RecordCoordinates};

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

    /// The value to send: the record's own, unless it is a price event without `id` or `polled_at`.
    /// The averager derives these from the record's place and time, which change when it is sent
    /// again. So they are filled in here as the averager would have derived them.
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

        let Ok(event) = PriceEvent::decode(Some(&self.value), &coordinates, Utc::now()) else {
            return Cow::Borrowed(&self.value);
        };
        if has_identity(&self.value) {
            return Cow::Borrowed(&self.value);
        }

        event
            .encode()
            .map_or(Cow::Borrowed(&self.value), Cow::Owned)
    }
}

/// Whether the value has both its id and its poll time.
fn has_identity(value: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Identity {
        id: Option<IgnoredAny>,
        polled_at: Option<IgnoredAny>,
    }

    serde_json::from_slice::<Identity>(value)
        .is_ok_and(|identity| identity.id.is_some() && identity.polled_at.is_some())
}

#[cfg(test)]
mod tests;
