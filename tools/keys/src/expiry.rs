//! When a key ends, as a person writes it.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use shared::market::Timestamp;

/// A time, or a number of days or hours from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// At this time.
    At(Timestamp),
    /// After this time.
    After(TimeDelta),
}

impl Expiry {
    /// The time, for a key that is made `now`.
    #[must_use]
    pub fn after(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::After(time) => now + time,
        }
    }
}

impl FromStr for Expiry {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error =
            "must be a time such as 2027-01-01T00:00:00Z, or days or hours such as 90d or 12h";
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::At(time.with_timezone(&Utc)));
        }

        let unit = text.chars().next_back().ok_or(error)?;
        let number = &text[..text.len() - unit.len_utf8()];
        let number: u16 = number.parse().map_err(|_| error)?;
        match (unit, number) {
            (_, 0) => Err(error),
            ('d', days) => Ok(Self::After(TimeDelta::days(days.into()))),
            ('h', hours) => Ok(Self::After(TimeDelta::hours(hours.into()))),
            _ => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_time_or_a_number_of_days_or_hours_from_now() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (text, end) in [
            ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2027-01-01T02:00:00+02:00", "2027-01-01T00:00:00Z"),
            ("90d", "2026-04-01T00:00:00Z"),
            ("12h", "2026-01-01T12:00:00Z"),
        ] {
            let expiry: Expiry = text.parse().unwrap();
            assert_eq!(
                expiry.after(now),
                end.parse::<Timestamp>().unwrap(),
                "{text}"
            );
        }

        for text in [
            "",
            "d",
            "0d",
            "-1d",
            "1.5d",
            "90",
            "90x",
            "2027-01-01",
            "99999d",
            "9ä",
        ] {
            assert!(text.parse::<Expiry>().is_err(), "{text}");
        }
    }
}
