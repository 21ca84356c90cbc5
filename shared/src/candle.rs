//! Candles: the open, high, low and close of the prices in a period, and how time is divided into
//! such periods.
//!
//! Periods up to an hour are whole multiples since 1970 in UTC, in every time zone. Those of a day
//! are the calendar days of a time zone, some of which have 23 or 25 hours (`day`).

use std::fmt;
use std::str::FromStr;

use chrono::TimeDelta;
use chrono_tz::Tz;

use crate::market::{Currency, Timestamp};
use crate::price::Price;

mod day;

/// How long the periods of candles are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// One minute.
    Minute,
    /// Five minutes.
    FiveMinutes,
    /// Fifteen minutes.
    QuarterHour,
    /// One hour.
    Hour,
    /// A calendar day.
    Day,
}

/// Why a text is not the name of an [`Interval`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of 1m, 5m, 15m, 1h, 1d")]
pub struct IntervalError;

impl Interval {
    /// All intervals, the shortest first.
    pub const ALL: [Self; 5] = [
        Self::Minute,
        Self::FiveMinutes,
        Self::QuarterHour,
        Self::Hour,
        Self::Day,
    ];

    /// Its name in requests and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "1m",
            Self::FiveMinutes => "5m",
            Self::QuarterHour => "15m",
            Self::Hour => "1h",
            Self::Day => "1d",
        }
    }

    /// Its length; `None` for days, whose length differs.
    #[must_use]
    pub fn length(self) -> Option<TimeDelta> {
        match self {
            Self::Minute => Some(TimeDelta::minutes(1)),
            Self::FiveMinutes => Some(TimeDelta::minutes(5)),
            Self::QuarterHour => Some(QUARTER),
            Self::Hour => Some(TimeDelta::hours(1)),
            Self::Day => None,
        }
    }
}

impl FromStr for Interval {
    type Err = IntervalError;

    fn from_str(text: &str) -> Result<Self, IntervalError> {
        let named = |interval: &Self| interval.name() == text;
        Self::ALL.into_iter().find(named).ok_or(IntervalError)
    }
}

/// The periods whose folds are stored. The days of all time zones begin and end with one of them,
/// with the exception of Liberia's until 1972.
pub const QUARTER: TimeDelta = TimeDelta::minutes(15);

/// The start of the quarter hour that contains `time`.
#[must_use]
pub fn quarter_of(time: Timestamp) -> Timestamp {
    floor(time, QUARTER)
}

/// A time zone of the IANA database. Its rules are compiled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(Tz);

/// Why a text is not the name of a [`Zone`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a time zone of the IANA database, such as America/New_York")]
pub struct ZoneError;

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(Tz::UTC);

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The names of all zones.
    pub fn names() -> impl Iterator<Item = &'static str> {
        chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(text: &str) -> Result<Self, ZoneError> {
        text.parse().map(Self).map_err(|_| ZoneError)
    }
}

/// A span of time: `start` included, `end` excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its first moment.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
}

impl Period {
    /// Whether quarter hours lie within it or outside of it, each as a whole.
    #[must_use]
    pub fn is_of_quarters(self) -> bool {
        let is_bound = |time| quarter_of(time) == time;
        is_bound(self.start) && is_bound(self.end)
    }
}

/// The division of all time into periods, without gap or overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// The length of a period.
    pub interval: Interval,
    /// Whose calendar days are meant.
    pub zone: Zone,
}

impl Grid {
    /// The period that contains `time`.
    #[must_use]
    pub fn period_of(self, time: Timestamp) -> Period {
        let Some(length) = self.interval.length() else {
            return day::of(time, self.zone.0);
        };

        let start = floor(time, length);
        Period {
            start,
            end: start + length,
        }
    }

    /// The start of the first period that does not begin before `time`.
    #[must_use]
    pub fn first_start_from(self, time: Timestamp) -> Timestamp {
        let period = self.period_of(time);
        if period.start == time {
            time
        } else {
            period.end
        }
    }

    /// The periods that begin before `end`, from the latest one back.
    pub fn back_from(self, end: Timestamp) -> impl Iterator<Item = Period> {
        let before = move |time: Timestamp| self.period_of(time - TimeDelta::microseconds(1));
        std::iter::successors(Some(before(end)), move |later| Some(before(later.start)))
    }
}

/// The latest whole multiple of `length` since 1970 that is not after `time`.
fn floor(time: Timestamp, length: TimeDelta) -> Timestamp {
    let length = length.num_microseconds().unwrap_or(1);
    let beyond = time.timestamp_micros().rem_euclid(length);
    let within = i64::from(time.timestamp_subsec_nanos() % 1_000);
    time - TimeDelta::microseconds(beyond) - TimeDelta::nanoseconds(within)
}

/// The prices of a period in one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candle {
    /// The period.
    pub period: Period,
    /// Unit of the prices; `None` if it is unknown.
    pub currency: Option<Currency>,
    /// The first price.
    pub open: Price,
    /// The greatest price.
    pub high: Price,
    /// The least price.
    pub low: Price,
    /// The last price.
    pub close: Price,
    /// Number of prices, at least one.
    pub points: u64,
}

#[cfg(test)]
mod tests;
