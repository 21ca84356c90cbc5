//! The calendar of partitions: days and months in UTC.

use std::iter;

use chrono::{Datelike, Days, Months, NaiveDate, NaiveTime};

use crate::market::Timestamp;

/// The time span of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// A day.
    Day,
    /// A calendar month.
    Month,
}

impl Period {
    /// The start of the period that contains `moment`.
    pub(super) fn start_of(self, moment: Timestamp) -> Timestamp {
        let day = moment.date_naive();
        midnight(match self {
            Self::Day => day,
            Self::Month => day.with_day(1).unwrap_or(day),
        })
    }

    /// The start of the period `count` after the one that contains `moment`, at most the end of the
    /// calendar.
    pub(super) fn start_after(self, moment: Timestamp, count: u32) -> Timestamp {
        let start = self.start_of(moment).date_naive();
        let later = match self {
            Self::Day => start.checked_add_days(Days::new(count.into())),
            Self::Month => start.checked_add_months(Months::new(count)),
        };
        midnight(later.unwrap_or(NaiveDate::MAX))
    }

    /// The starts of the periods from `first`, which must be one, up to `end`, excluded.
    pub(super) fn starts(
        self,
        first: Timestamp,
        end: Timestamp,
    ) -> impl Iterator<Item = Timestamp> {
        let next =
            move |start: &Timestamp| Some(self.start_after(*start, 1)).filter(|next| next > start);
        iter::successors(Some(first), next).take_while(move |start| *start < end)
    }
}

fn midnight(day: NaiveDate) -> Timestamp {
    day.and_time(NaiveTime::MIN).and_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_period_begins_at_midnight_utc_of_its_first_day() {
        let moment = at("2024-02-29T23:59:59.999999Z");
        assert_eq!(Period::Day.start_of(moment), at("2024-02-29T00:00:00Z"));
        assert_eq!(Period::Month.start_of(moment), at("2024-02-01T00:00:00Z"));
    }

    #[test]
    fn later_periods_follow_the_calendar_from_any_moment_of_a_period() {
        assert_eq!(
            Period::Month.start_after(at("2024-01-31T12:00:00Z"), 1),
            at("2024-02-01T00:00:00Z")
        );
        assert_eq!(
            Period::Month.start_after(at("2024-11-30T12:00:00Z"), 3),
            at("2025-02-01T00:00:00Z")
        );
        assert_eq!(
            Period::Day.start_after(at("2024-02-28T00:00:00Z"), 2),
            at("2024-03-01T00:00:00Z")
        );
    }
}
