//! Schedule expressions and the instants that they define.

use chrono::{NaiveDateTime, TimeDelta};

use super::clock::Timestamp;

/// When a schedule fires, without its start and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    /// `rate(5 minutes)`: at the start, and again after each interval of this length.
    Rate(TimeDelta),
    /// `at(2026-01-31T12:00:00)`: once.
    At(Timestamp),
}

/// Why an expression is refused. The answer contains the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExpressionError {
    #[error("Invalid Schedule Expression {0}.")]
    Invalid(String),
    #[error("This emulator does not support cron expressions yet: {0}.")]
    Cron(String),
    #[error("This emulator supports at expressions in UTC only yet: {0}.")]
    TimeZone(String),
}

impl Expression {
    pub(crate) fn parse(text: &str, time_zone: &str) -> Result<Self, ExpressionError> {
        let invalid = || ExpressionError::Invalid(text.to_owned());
        let (kind, rest) = text.split_once('(').ok_or_else(invalid)?;
        let argument = rest.strip_suffix(')').ok_or_else(invalid)?;

        match kind {
            "rate" => rate(argument).map(Self::Rate).ok_or_else(invalid),
            "at" if time_zone != "UTC" => Err(ExpressionError::TimeZone(text.to_owned())),
            "at" => NaiveDateTime::parse_from_str(argument, "%Y-%m-%dT%H:%M:%S")
                .map(|moment| Self::At(moment.and_utc()))
                .map_err(|_| invalid()),
            "cron" => Err(ExpressionError::Cron(text.to_owned())),
            _ => Err(invalid()),
        }
    }
}

/// Ten years in minutes: longer than any use, and safe to calculate with.
const LONGEST_RATE_MINUTES: i64 = 10 * 366 * 24 * 60;

fn rate(argument: &str) -> Option<TimeDelta> {
    let (number, unit) = argument.split_once(' ')?;
    let number = number.parse::<u32>().ok().filter(|number| *number > 0)?;

    let unit_minutes = match unit {
        "minute" | "minutes" => 1,
        "hour" | "hours" => 60,
        "day" | "days" => 24 * 60,
        _ => return None,
    };

    let minutes = i64::from(number) * unit_minutes;
    (minutes <= LONGEST_RATE_MINUTES).then(|| TimeDelta::minutes(minutes))
}

/// An expression with its start and end, which together define all instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    pub(crate) expression: Expression,
    /// Instant 0 of a rate.
    pub(crate) anchor: Timestamp,
    /// A single moment before this never comes. A rate has no such limit.
    pub(crate) earliest: Timestamp,
    /// A rate has no instant after it.
    pub(crate) end: Option<Timestamp>,
}

impl Timing {
    /// Returns the newest instant that is not after `now`.
    pub(crate) fn newest_due(&self, now: Timestamp) -> Option<Timestamp> {
        match self.expression {
            Expression::At(moment) => (self.earliest..=now).contains(&moment).then_some(moment),
            Expression::Rate(rate) => {
                let until = self.end.map_or(now, |end| end.min(now));
                (until >= self.anchor).then(|| self.instant_before(until, rate))
            }
        }
    }

    /// Returns the oldest instant after `now`.
    pub(crate) fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        match self.expression {
            Expression::At(moment) => (moment > now && moment >= self.earliest).then_some(moment),
            Expression::Rate(rate) => {
                let next = if now < self.anchor {
                    self.anchor
                } else {
                    self.instant_before(now, rate) + rate
                };
                self.end.is_none_or(|end| next <= end).then_some(next)
            }
        }
    }

    /// Returns the last instant up to `until`, which must not be before the anchor.
    fn instant_before(&self, until: Timestamp, rate: TimeDelta) -> Timestamp {
        let past = (until - self.anchor).num_seconds() % rate.num_seconds();
        let whole = TimeDelta::seconds((until - self.anchor).num_seconds() - past);
        self.anchor + whole
    }
}

#[cfg(test)]
mod tests;
