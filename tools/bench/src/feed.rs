//! Price events like those in production: all symbols in turn, each with a quote a minute, as the
//! JSON that Lambda's event source mapping delivers. Repeats and late events are optional.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use rust_decimal::Decimal;
use shared::market::{Currency, ProviderName, Symbol, Timestamp};
use shared::price::Price;
use shared::price_event::PriceEvent;
use uuid::Uuid;

/// The number of partitions of the price topic.
pub(crate) const PARTITIONS: u32 = 6;
/// The time between two quotes of a symbol.
const BETWEEN_QUOTES: TimeDelta = TimeDelta::minutes(1);
/// The quote of a late event is up to this much older than its neighbours on the topic.
pub(crate) const LATEST_MINUTES: usize = 60;
/// The time from a quote to the provider's answer.
const UNTIL_POLLED: TimeDelta = TimeDelta::milliseconds(2114);
/// A repeat is of one of this many events before it.
const REMEMBERED: usize = 4_096;
const ARN: &str = "arn:aws:kafka:us-east-1:123456789012:cluster/market-data/00000000-0000-0000-0000-000000000000-0";

/// The kind of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Every event once and in order.
    Clean,
    /// Every tenth event repeats an earlier one, and every hundredth is up to an hour late.
    Imperfect,
}

impl Delivery {
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Imperfect => "10 % repeated, 1 % late",
        }
    }
}

/// A record of the topic.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
    /// The record's time in milliseconds since 1970.
    pub(crate) timestamp: i64,
    pub(crate) partition: u32,
    /// The time of the quote.
    pub(crate) quoted_at: Timestamp,
}

#[derive(Clone, Debug)]
struct Listed {
    symbol: Symbol,
    partition: u32,
}

/// An endless stream of events.
#[derive(Debug)]
pub(crate) struct Feed {
    symbols: Vec<Listed>,
    provider: ProviderName,
    currency: Currency,
    start: Timestamp,
    delivery: Delivery,
    random: SmallRng,
    sent: u64,
    /// The number of quotes sent, without repeats.
    distinct: usize,
    next: usize,
    recent: VecDeque<Record>,
}

/// The names of `count` symbols.
pub(crate) fn symbols(count: usize) -> Vec<Symbol> {
    let named = |number| format!("T{number:04}").parse();
    (0..count).filter_map(|number| named(number).ok()).collect()
}

/// The provider of all events.
pub(crate) const PROVIDER: &str = "yahoo";

impl Feed {
    /// The events of `symbols`, round after round. The first round is at `start`.
    pub(crate) fn new(
        symbols: &[Symbol],
        start: Timestamp,
        delivery: Delivery,
    ) -> anyhow::Result<Self> {
        let listed = symbols.iter().map(|symbol| Listed {
            symbol: symbol.clone(),
            partition: partition(symbol),
        });

        Ok(Self {
            next: 0,
            random: SmallRng::seed_from_u64(0),
            symbols: listed.collect(),
            provider: PROVIDER.parse()?,
            currency: "USD".parse()?,
            start,
            delivery,
            sent: 0,
            distinct: 0,
            recent: VecDeque::new(),
        })
    }

    /// The share of one of several writers, from the round `first_round` on.
    ///
    /// A writer has the partitions whose number modulo `writers` is its own number, like a reader
    /// in a consumer group.
    pub(crate) fn share(self, first_round: usize, (writer, writers): (u32, u32)) -> Self {
        let mut symbols = self.symbols;
        symbols.retain(|listed| listed.partition % writers == writer);

        Self {
            next: first_round * symbols.len(),
            random: SmallRng::seed_from_u64(u64::from(writer) ^ ((first_round as u64) << 8)),
            symbols,
            ..self
        }
    }

    /// The round of the next event.
    pub(crate) fn round(&self) -> usize {
        self.next / self.symbols.len()
    }

    /// The time of round 0.
    pub(crate) fn start(&self) -> Timestamp {
        self.start
    }

    /// The number of quotes sent, each counted once.
    pub(crate) fn distinct(&self) -> usize {
        self.distinct
    }

    /// The next record of the topic.
    pub(crate) fn record(&mut self) -> anyhow::Result<Record> {
        self.sent += 1;

        if self.delivery == Delivery::Clean {
            return self.quote(TimeDelta::zero());
        }

        match self.sent % 100 {
            50 => {
                let latest = i64::try_from(LATEST_MINUTES)? * 60_000_000;
                let lateness = TimeDelta::microseconds(self.random.random_range(1..latest));
                self.quote(lateness)
            }
            tenth if tenth % 10 == 5 && !self.recent.is_empty() => {
                let again = self.random.random_range(0..self.recent.len());
                Ok(self.recent[again].clone())
            }
            _ => self.quote(TimeDelta::zero()),
        }
    }

    fn quote(&mut self, lateness: TimeDelta) -> anyhow::Result<Record> {
        let listed = &self.symbols[self.next % self.symbols.len()];
        let round = i32::try_from(self.next / self.symbols.len())?;

        let sent_at = self.start + BETWEEN_QUOTES * round + UNTIL_POLLED;
        let timestamp = sent_at - UNTIL_POLLED - lateness;

        let event = PriceEvent {
            id: Uuid::from_u128(self.random.random()),
            symbol: listed.symbol.clone(),
            price: Price::try_from(Decimal::new(self.random.random_range(10_000..20_000), 2))?,
            currency: Some(self.currency.clone()),
            timestamp,
            provider: self.provider.clone(),
            polled_at: timestamp + UNTIL_POLLED,
            raw_response_id: Some(Uuid::from_u128(self.random.random())),
        };

        let record = Record {
            key: listed.symbol.to_string(),
            value: event.encode()?,
            timestamp: sent_at.timestamp_millis(),
            partition: listed.partition,
            quoted_at: timestamp,
        };

        // A late event is sent in addition to the symbol's regular one.
        self.next += usize::from(lateness.is_zero());
        self.distinct += 1;

        if self.delivery == Delivery::Imperfect {
            self.recent.truncate(REMEMBERED - 1);
            self.recent.push_front(record.clone());
        }

        Ok(record)
    }

    /// The invocation event of a batch of `size` records.
    pub(crate) fn batch(&mut self, size: usize) -> anyhow::Result<String> {
        let mut partitions = BTreeMap::<u32, String>::new();
        for _ in 0..size {
            let offset = self.sent;
            let record = self.record()?;
            let json = partitions.entry(record.partition).or_default();
            json.push_str(if json.is_empty() { "" } else { "," });
            push(json, &record, offset)?;
        }

        let mut event = format!(
            r#"{{"eventSource":"aws:kafka","eventSourceArn":"{ARN}","bootstrapServers":"b-1:9092","records":{{"#
        );

        for (place, (partition, records)) in partitions.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(event, r#"{comma}"price-events-{partition}":[{records}]"#)?;
        }

        event.push_str("}}");
        Ok(event)
    }
}

fn push(json: &mut String, record: &Record, offset: u64) -> std::fmt::Result {
    let Record {
        partition,
        timestamp,
        ..
    } = record;

    write!(
        json,
        r#"{{"topic":"price-events","partition":{partition},"offset":{offset},"timestamp":{timestamp},"timestampType":"CREATE_TIME","key":""#
    )?;

    BASE64.encode_string(&record.key, json);
    json.push_str("\",\"value\":\"");
    BASE64.encode_string(&record.value, json);
    json.push_str("\",\"headers\":[]}");
    Ok(())
}

/// The start of a stream of `rounds`, at a whole minute, so that the stream ends about now.
pub(crate) fn start_before_now(rounds: usize) -> anyhow::Result<Timestamp> {
    let minute = Utc::now().timestamp() / 60 * 60;
    let start = DateTime::from_timestamp(minute, 0).unwrap_or_default();
    Ok(start - BETWEEN_QUOTES * i32::try_from(rounds)?)
}

/// The partition of a symbol's events. Kafka's clients choose it likewise, by murmur2 of the key.
fn partition(symbol: &Symbol) -> u32 {
    const MULTIPLIER: u32 = 0x5bd1_e995;
    let key = symbol.as_str().as_bytes();

    let mut hash = 0x9747_b28c ^ u32::try_from(key.len()).unwrap_or(u32::MAX);

    let words = key.chunks_exact(4);
    let rest = words.remainder();

    for word in words {
        let mixed = word
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u32::from(*byte))
            .wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER) ^ (mixed ^ (mixed >> 24)).wrapping_mul(MULTIPLIER);
    }

    if !rest.is_empty() {
        hash ^= rest
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(MULTIPLIER);
    }

    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    ((hash ^ (hash >> 15)) & 0x7fff_ffff) % PARTITIONS
}
