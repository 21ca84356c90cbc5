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
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn every(text: &str, end: Option<&str>) -> Timing {
        let expression = Expression::parse(text, "UTC").unwrap();
        Timing {
            expression,
            anchor: time("2026-01-01T00:00:05Z"),
            earliest: time("2026-01-01T00:00:00Z"),
            end: end.map(time),
        }
    }

    #[test]
    fn rates_count_minutes_hours_and_days() {
        let rate = |text| Expression::parse(text, "UTC");
        assert_eq!(
            rate("rate(1 minute)"),
            Ok(Expression::Rate(TimeDelta::minutes(1)))
        );
        assert_eq!(
            rate("rate(5 minutes)"),
            Ok(Expression::Rate(TimeDelta::minutes(5)))
        );
        assert_eq!(
            rate("rate(2 hours)"),
            Ok(Expression::Rate(TimeDelta::hours(2)))
        );
        assert_eq!(
            rate("rate(3 days)"),
            Ok(Expression::Rate(TimeDelta::days(3)))
        );
    }

    #[test]
    fn expressions_that_are_none_are_refused() {
        let texts = [
            "",
            "rate",
            "rate()",
            "rate(0 minutes)",
            "rate(-1 minutes)",
            "rate(1.5 hours)",
        ];
        let more = [
            "rate(1 second)",
            "rate(5)",
            "rate(4294967295 days)",
            "at(tomorrow)",
            "at()",
            "rate(5 minutes",
        ];

        for text in texts.iter().chain(&more) {
            let refused = Err(ExpressionError::Invalid((*text).to_owned()));
            assert_eq!(Expression::parse(text, "UTC"), refused, "{text}");
        }
    }

    #[test]
    fn cron_is_refused_as_not_supported_yet() {
        let refused = Expression::parse("cron(0 12 * * ? *)", "UTC").unwrap_err();
        assert!(refused.to_string().contains("does not support cron"));
    }

    #[test]
    fn the_first_instant_of_a_rate_is_its_anchor() {
        let timing = every("rate(1 minute)", None);
        assert_eq!(timing.newest_due(time("2026-01-01T00:00:04.999Z")), None);
        assert_eq!(
            timing.next_after(time("2025-12-31T00:00:00Z")),
            Some(timing.anchor)
        );
        assert_eq!(timing.newest_due(timing.anchor), Some(timing.anchor));
    }

    #[test]
    fn later_instants_of_a_rate_lie_whole_rates_after_the_anchor() {
        let timing = every("rate(5 minutes)", None);
        let now = time("2026-01-01T01:00:04.5Z");
        assert_eq!(timing.newest_due(now), Some(time("2026-01-01T00:55:05Z")));
        assert_eq!(timing.next_after(now), Some(time("2026-01-01T01:00:05Z")));
        assert_eq!(
            timing.next_after(time("2026-01-01T01:00:05Z")),
            Some(time("2026-01-01T01:05:05Z"))
        );
    }

    #[test]
    fn a_rate_has_no_instant_after_its_end() {
        let timing = every("rate(1 minute)", Some("2026-01-01T00:02:05Z"));
        let late = time("2026-01-01T09:00:00Z");

        assert_eq!(
            timing.next_after(time("2026-01-01T00:01:30Z")),
            Some(time("2026-01-01T00:02:05Z"))
        );
        assert_eq!(timing.next_after(time("2026-01-01T00:02:05Z")), None);
        assert_eq!(timing.newest_due(late), Some(time("2026-01-01T00:02:05Z")));
    }

    #[test]
    fn an_at_expression_has_one_instant() {
        let timing = every("at(2026-03-01T12:00:00)", None);
        let moment = time("2026-03-01T12:00:00Z");
        assert_eq!(
            timing.next_after(time("2026-01-01T00:00:00Z")),
            Some(moment)
        );
        assert_eq!(timing.newest_due(moment), Some(moment));
        assert_eq!(timing.next_after(moment), None);
    }

    #[test]
    fn a_moment_before_the_earliest_one_never_comes() {
        let timing = every("at(2025-12-31T23:59:59)", None);
        assert_eq!(timing.next_after(time("2025-01-01T00:00:00Z")), None);
        assert_eq!(timing.newest_due(time("2026-01-01T00:00:05Z")), None);

        let timing = every("at(2026-01-01T00:00:00)", None);
        assert_eq!(timing.newest_due(timing.anchor), Some(timing.earliest));
    }
}
