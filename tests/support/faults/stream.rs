//! A dirty stream of records: repeats, late quotes, conflicting prices, foreign events, and every
//! kind of poison.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

mod poison;

/// The key of records that abort the crashing averager.
pub const CRASH: &str = "CRASH";

/// The symbol of events that a site's Postgres always refuses.
pub const REFUSED: &str = "REFUSED";

/// What must become of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A point, unless a newer answer for its quote wins.
    Point,
    /// A row in `rejected_events`.
    Rejected,
    /// A letter in the dead-letter topic, because the record crashes the function.
    DeadLetter,
}

/// A record to publish.
#[derive(Clone, Debug)]
pub struct Record {
    /// The key; a record without one goes to any partition.
    pub key: Option<String>,
    /// The value; a record without one is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Milliseconds since 1970, if the time is not the present.
    pub timestamp: Option<i64>,
    /// What must become of the record.
    pub fate: Fate,
}

/// A published quote, to be repeated or contradicted later.
#[derive(Clone, Debug)]
struct Quote {
    symbol: String,
    quoted_at: DateTime<Utc>,
    polled_at: DateTime<Utc>,
    value: Vec<u8>,
}

/// An endless stream. A seed always gives the same stream except for the times, which start at the
/// present.
#[derive(Debug)]
pub struct Stream {
    random: StdRng,
    start: DateTime<Utc>,
    /// The second of each symbol's newest quote.
    seconds: Vec<i64>,
    count: i64,
    recent: Vec<Quote>,
}

/// The most quotes that may be repeated or contradicted.
const REMEMBERED: usize = 2_000;

impl Stream {
    /// The stream of `seed`, with 1 to 60 symbols.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let symbols = random.random_range(1..=60);
        Self {
            random,
            start: Utc::now(),
            seconds: vec![0; symbols],
            count: 0,
            recent: Vec::new(),
        }
    }

    /// A record that aborts the crashing averager.
    #[must_use]
    pub fn crash(&mut self) -> Record {
        Record {
            key: Some(CRASH.to_owned()),
            fate: Fate::DeadLetter,
            ..self.fresh()
        }
    }

    /// The number of records in the next burst, and the pause after it in milliseconds: about 1,000
    /// records a second.
    #[must_use]
    pub fn burst(&mut self) -> (u32, u64) {
        (
            self.random.random_range(1..60),
            self.random.random_range(5..50),
        )
    }

    /// A new quote, `seconds` and `micros` after the time of the first.
    fn quote(&mut self, symbol: usize, seconds: i64, micros: i64) -> Record {
        let quoted_at = self.start - TimeDelta::hours(3)
            + TimeDelta::seconds(seconds)
            + TimeDelta::microseconds(micros);
        let polled_at = self.start + TimeDelta::milliseconds(self.count);

        let price = self.price();
        self.own(format!("S{symbol}"), &price, quoted_at, polled_at)
    }

    fn fresh(&mut self) -> Record {
        let symbol = self.random.random_range(0..self.seconds.len());
        self.seconds[symbol] += 1;
        self.quote(symbol, self.seconds[symbol], 0)
    }

    /// A quote up to an hour before the symbol's newest.
    fn late(&mut self) -> Record {
        let symbol = self.random.random_range(0..self.seconds.len());
        let seconds = self.seconds[symbol] - self.random.random_range(0..3_600);
        let micros = self.random.random_range(1..1_000_000);
        self.quote(symbol, seconds, micros)
    }

    fn repeated(&mut self) -> Option<Record> {
        let quote = self.recent.choose(&mut self.random)?;
        let (key, value) = (Some(quote.symbol.clone()), Some(quote.value.clone()));
        Some(Record {
            key,
            value,
            timestamp: None,
            fate: Fate::Point,
        })
    }

    /// Another answer for a quote, polled just before, after or at the same moment as the first.
    fn conflicting(&mut self) -> Option<Record> {
        let Quote {
            symbol,
            quoted_at,
            polled_at,
            ..
        } = self.recent.choose(&mut self.random)?.clone();
        let polled_at = polled_at + TimeDelta::milliseconds(self.random.random_range(-3..=3));

        let price = self.price();
        Some(self.own(symbol, &price, quoted_at, polled_at))
    }

    /// A record as this pipeline publishes it, which is remembered.
    fn own(
        &mut self,
        symbol: String,
        price: &str,
        quoted_at: DateTime<Utc>,
        polled_at: DateTime<Utc>,
    ) -> Record {
        let (id, raw) = (
            Uuid::from_u128(self.random.random()),
            Uuid::from_u128(self.random.random()),
        );

        let (quoted, polled) = (text(quoted_at), text(polled_at));
        let value = format!(
            r#"{{"id":"{id}","symbol":"{symbol}","price":{price},"currency":"USD","timestamp":"{quoted}","source":"made","provider":"made","polled_at":"{polled}","raw_response_id":"{raw}"}}"#
        )
        .into_bytes();

        let quote = Quote {
            symbol: symbol.clone(),
            quoted_at,
            polled_at,
            value: value.clone(),
        };

        if self.recent.len() < REMEMBERED {
            self.recent.push(quote);
        } else {
            let place = self.random.random_range(0..REMEMBERED);
            self.recent[place] = quote;
        }

        Record {
            key: Some(symbol),
            value: Some(value),
            timestamp: None,
            fate: Fate::Point,
        }
    }

    /// A record as another producer may publish it: without id and poll time, with other spelling,
    /// at quote times that our own records may have too.
    fn foreign(&mut self) -> Record {
        let symbol = self.random.random_range(0..self.seconds.len());
        let seconds = self.seconds[symbol] + self.random.random_range(-5..=1);
        let quoted = text(self.start - TimeDelta::hours(3) + TimeDelta::seconds(seconds));

        let (price, which) = (
            self.price(),
            ["source", "provider"][usize::from(self.random.random_bool(0.5))],
        );

        // Upper case is the same series as ours; lower case is another.
        let letter = if self.random.random_bool(0.1) {
            "s"
        } else {
            "S"
        };

        let value = format!(
            r#"{{"symbol":"{letter}{symbol}","price":{price},"timestamp":"{quoted}","{which}":"MADE","more":[[1,{{}}],null]}}"#
        );

        let key = self.random.random_bool(0.9).then(|| format!("S{symbol}"));

        Record {
            key,
            value: Some(value.into_bytes()),
            timestamp: None,
            fate: Fate::Point,
        }
    }

    fn price(&mut self) -> String {
        match self.random.random_range(0..10) {
            0 => format!(
                "0.{:015}",
                self.random.random_range(1..999_999_999_999_999_u64)
            ),
            1 => format!(
                "{}.000000000000001",
                self.random.random_range(1..99_999_999_999_u64)
            ),
            2 => format!("{}E-7", self.random.random_range(1..9_999_999)),
            3 => format!("{}.5e3", self.random.random_range(1..99_999)),
            _ => format!(
                "{}.{:02}",
                self.random.random_range(1..2_000),
                self.random.random_range(0..100)
            ),
        }
    }
}

impl Iterator for Stream {
    type Item = Record;

    /// The next record: of a hundred, 10 are repeats, 1 is late, 3 contradict, 4 are foreign, and 2
    /// are poison.
    fn next(&mut self) -> Option<Record> {
        self.count += 1;

        let special = match self.random.random_range(0..100) {
            0..10 => self.repeated(),
            10 => Some(self.late()),
            11..14 => self.conflicting(),
            14..18 => Some(self.foreign()),
            18..20 => Some(self.poison()),
            _ => None,
        };

        Some(special.unwrap_or_else(|| self.fresh()))
    }
}

fn text(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Micros, true)
}
