//! A quote on the log: the topic's wire format, and the rules that a record must meet to become a
//! price point.

use std::borrow::Cow;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::market::{Currency, NameError, ProviderName, Quote, Symbol, Timestamp, to_microseconds};
use crate::price::{Price, PriceError};

/// How far a quote's time may be ahead of its record's Kafka timestamp.
const QUOTE_TIME_TOLERANCE: TimeDelta = TimeDelta::days(1);
/// How far `polled_at` may be ahead of its record's Kafka timestamp, and both ahead of the reader's
/// clock.
pub const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(5);
/// Namespace of the ids derived for events that foreign producers send without one.
const DERIVED_ID_NAMESPACE: Uuid = Uuid::from_u128(0x5d0f_3c5e_9a54_4a0e_8f0b_7f4d_52c1_a6b3);

/// A quote as it is on the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceEvent {
    /// Distinguishes answers polled at the same microsecond; the greater id wins.
    pub id: Uuid,
    /// The priced instrument.
    pub symbol: Symbol,
    /// The exact price.
    pub price: Price,
    /// Unit of the price, if known.
    pub currency: Option<Currency>,
    /// The quote's market time.
    pub timestamp: Timestamp,
    /// The provider of the quote.
    pub provider: ProviderName,
    /// When the provider's raw response arrived. Of two answers for one quote time, the one polled
    /// last wins.
    pub polled_at: Timestamp,
    /// The stored raw response that the quote was read from.
    pub raw_response_id: Option<Uuid>,
}

/// Where and when Kafka stored a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordCoordinates<'a> {
    /// Topic of the record.
    pub topic: &'a str,
    /// Partition of the topic.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Kafka's timestamp of the record; `None` if Kafka has none. Records are judged by this clock,
    /// so that a replay gives the same result.
    pub timestamp: Option<Timestamp>,
}

/// Why a record can never become a price point.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// A tombstone, which has no value.
    #[error("the record has no value")]
    NoValue,
    /// Not JSON, or a field is missing or of the wrong kind; the text names it.
    #[error("the value is not a price event: {0}")]
    Malformed(String),
    /// The price's digits are not acceptable.
    #[error("price {0}")]
    Price(#[from] PriceError),
    /// A name is empty, too long, or not printable ASCII.
    #[error("{field} {reason}")]
    Name {
        /// The field at fault.
        field: &'static str,
        /// What is wrong with it.
        reason: NameError,
    },
    /// Neither `source` nor `provider` is present.
    #[error("the event has neither source nor provider")]
    NoProvider,
    /// `source` and `provider` differ.
    #[error("source and provider differ")]
    TwoProviders,
    /// The quote's time is before 1970, or more than one day after the record's.
    #[error("timestamp lies before 1970 or more than a day after the record's time")]
    TimestampOutOfRange,
    /// Polled before 1970, or more than five minutes after the record's time.
    #[error("polled_at lies before 1970 or more than five minutes after the record's time")]
    PolledAtOutOfRange,
    /// The quote's time cannot be judged by any clock that a replay would repeat.
    #[error(
        "the record has no Kafka timestamp and the event no polled_at, so nothing tells when it was polled; \
         send one of them"
    )]
    NoTime,
    /// Kafka's timestamp is more than five minutes ahead of the averager's clock.
    #[error(
        "the record's Kafka timestamp lies more than five minutes ahead of the averager's clock"
    )]
    RecordAhead,
    /// `polled_at` is more than five minutes ahead of the averager's clock.
    #[error("polled_at lies more than five minutes ahead of the averager's clock")]
    PolledAtAhead,
}

#[derive(Serialize)]
struct WireOut<'a> {
    id: Uuid,
    symbol: &'a Symbol,
    price: Price,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'a Currency>,
    timestamp: Timestamp,
    source: &'a ProviderName,
    provider: &'a ProviderName,
    polled_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_response_id: Option<Uuid>,
}

#[derive(Deserialize)]
struct WireIn<'a> {
    id: Option<Uuid>,
    #[serde(borrow)]
    symbol: Text<'a>,
    #[serde(borrow)]
    price: &'a RawValue,
    #[serde(borrow)]
    currency: Option<Text<'a>>,
    #[serde(borrow)]
    timestamp: Text<'a>,
    #[serde(borrow)]
    source: Option<Text<'a>>,
    #[serde(borrow)]
    provider: Option<Text<'a>>,
    #[serde(borrow)]
    polled_at: Option<Text<'a>>,
    raw_response_id: Option<Uuid>,
}

/// A JSON string, borrowed from the record unless it has escapes; serde does not borrow in a plain
/// `Option<Cow<str>>`.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl PriceEvent {
    /// The event that publishes `quote`, polled at `polled_at` in the stored response
    /// `raw_response_id`.
    #[must_use]
    pub fn of_quote(
        quote: Quote,
        provider: ProviderName,
        polled_at: Timestamp,
        raw_response_id: Uuid,
    ) -> Self {
        Self {
            id: Uuid::now_v7(),
            symbol: quote.symbol,
            price: quote.price,
            currency: quote.currency,
            timestamp: to_microseconds(quote.timestamp),
            provider,
            polled_at: to_microseconds(polled_at),
            raw_response_id: Some(raw_response_id),
        }
    }

    /// Encodes the JSON value of the Kafka record, whose key is the symbol.
    ///
    /// # Errors
    /// None in practice: every field has a JSON form.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&WireOut {
            id: self.id,
            symbol: &self.symbol,
            price: self.price,
            currency: self.currency.as_ref(),
            timestamp: self.timestamp,
            source: &self.provider,
            provider: &self.provider,
            polled_at: self.polled_at,
            raw_response_id: self.raw_response_id,
        })
    }

    /// Decodes and judges a record's value, at `now` on the reader's clock.
    ///
    /// A record is judged by its own time, or by `polled_at` if Kafka has no time for it, so that
    /// replaying the topic gives the same points. There is one exception. A record of the future
    /// would count as fresh and beat every true answer until its time has come, so it is rejected;
    /// a replay after that time accepts it. A topic with `message.timestamp.after.max.ms` set to
    /// five minutes has no such records.
    ///
    /// # Errors
    /// A [`Rejection`] for records that can never become valid.
    pub fn decode(
        value: Option<&[u8]>,
        record: &RecordCoordinates<'_>,
        now: Timestamp,
    ) -> Result<Self, Rejection> {
        let value = value.ok_or(Rejection::NoValue)?;
        let wire: WireIn<'_> = serde_json::from_slice(value)
            .map_err(|error| Rejection::Malformed(error.to_string()))?;

        let symbol = name(&wire.symbol.0, "symbol")?;
        let price = wire.price.get().parse::<Price>()?;
        let currency = wire
            .currency
            .map(|text| name(&text.0, "currency"))
            .transpose()?;
        let provider = provider_of(wire.source.as_ref(), wire.provider.as_ref())?;

        let timestamp = time(&wire.timestamp, "timestamp")?;
        let polled_at = wire
            .polled_at
            .map(|text| time(&text, "polled_at"))
            .transpose()?;
        let polled_at = judge_times(timestamp, polled_at, record.timestamp, now)?;

        let id = wire.id.unwrap_or_else(|| derived_id(record));
        Ok(Self {
            id,
            symbol,
            price,
            currency,
            timestamp,
            provider,
            polled_at,
            raw_response_id: wire.raw_response_id,
        })
    }
}

fn name<T: std::str::FromStr<Err = NameError>>(
    text: &str,
    field: &'static str,
) -> Result<T, Rejection> {
    text.parse()
        .map_err(|reason| Rejection::Name { field, reason })
}

fn time(text: &Text<'_>, field: &'static str) -> Result<Timestamp, Rejection> {
    DateTime::parse_from_rfc3339(&text.0)
        .map(|time| to_microseconds(time.to_utc()))
        .map_err(|_| Rejection::Malformed(format!("{field} is not an RFC 3339 time with a zone")))
}

/// Judges a quote's time and its poll time, and returns the latter: the record's time if the event
/// has none.
fn judge_times(
    quoted_at: Timestamp,
    polled_at: Option<Timestamp>,
    record_time: Option<Timestamp>,
    now: Timestamp,
) -> Result<Timestamp, Rejection> {
    let latest = |clock: Timestamp, tolerance| {
        clock
            .checked_add_signed(tolerance)
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    };

    // The record's own time comes first, because the other checks rely on it.
    if record_time.is_some_and(|time| time > latest(now, CLOCK_TOLERANCE)) {
        return Err(Rejection::RecordAhead);
    }

    let clock = record_time.or(polled_at).ok_or(Rejection::NoTime)?;
    let polled_at = polled_at.unwrap_or(clock);
    if polled_at < DateTime::UNIX_EPOCH || polled_at > latest(clock, CLOCK_TOLERANCE) {
        return Err(Rejection::PolledAtOutOfRange);
    }
    if polled_at > latest(now, CLOCK_TOLERANCE) {
        return Err(Rejection::PolledAtAhead);
    }

    if quoted_at < DateTime::UNIX_EPOCH || quoted_at > latest(clock, QUOTE_TIME_TOLERANCE) {
        return Err(Rejection::TimestampOutOfRange);
    }
    Ok(polled_at)
}

/// The provider, from two fields with the same meaning. One may be absent; if both are present,
/// they must agree.
fn provider_of(
    source: Option<&Text<'_>>,
    provider: Option<&Text<'_>>,
) -> Result<ProviderName, Rejection> {
    match (source, provider) {
        (None, None) => Err(Rejection::NoProvider),
        (Some(source), Some(provider)) if source.0 == provider.0 => name(&source.0, "source"),
        (Some(source), Some(provider)) => {
            let (source, provider) = (
                name::<ProviderName>(&source.0, "source")?,
                name::<ProviderName>(&provider.0, "provider")?,
            );
            if source == provider {
                Ok(provider)
            } else {
                Err(Rejection::TwoProviders)
            }
        }
        (Some(source), None) => name(&source.0, "source"),
        (None, Some(provider)) => name(&provider.0, "provider"),
    }
}

/// The id of an event without one: the same for every delivery of the same record.
fn derived_id(record: &RecordCoordinates<'_>) -> Uuid {
    let RecordCoordinates {
        topic,
        partition,
        offset,
        timestamp,
    } = record;

    // Kafka represents a missing timestamp as -1.
    let milliseconds = timestamp.map_or(-1, |timestamp| timestamp.timestamp_millis());
    let name = format!("{topic}/{partition}/{offset}/{milliseconds}");
    Uuid::new_v5(&DERIVED_ID_NAMESPACE, name.as_bytes())
}

#[cfg(test)]
mod tests;
