//! The calendar days of a time zone.
//!
//! A day begins at the first moment at which the zone's clocks show its midnight. Where they skip
//! midnight, it begins when they are set forward; where they show it twice, at the first of the two.
//! So days follow each other without gap or overlap, also where clocks are set back over midnight
//! and show the end of the day before once more.

use chrono::{LocalResult, NaiveDate, NaiveTime, TimeDelta, TimeZone};
use chrono_tz::Tz;

use super::Period;
use crate::market::Timestamp;

/// More than any zone's clocks differ from UTC, and less than the time between two changes.
const MOST_OFFSET: TimeDelta = TimeDelta::hours(26);

/// The day that contains `time`.
pub(super) fn of(time: Timestamp, zone: Tz) -> Period {
    let mut date = time.with_timezone(&zone).date_naive();

    // Clocks that were set back over midnight show the date of the day before again.
    while start(next(date), zone) <= time {
        date = next(date);
    }

    Period {
        start: start(date, zone),
        end: start(next(date), zone),
    }
}

/// The day after; the same one at the end of all dates, which no timestamp reaches.
fn next(date: NaiveDate) -> NaiveDate {
    date.succ_opt().unwrap_or(date)
}

/// When the day begins. A day that the zone's clocks skip begins with the day after it.
fn start(date: NaiveDate, zone: Tz) -> Timestamp {
    let midnight = date.and_time(NaiveTime::MIN);

    match zone.from_local_datetime(&midnight) {
        LocalResult::Single(start) | LocalResult::Ambiguous(start, _) => start.to_utc(),
        LocalResult::None => {
            // The clocks are set forward over midnight: the change is the first second at which
            // they show a later time.
            let (mut before, mut after) = (
                midnight.and_utc() - MOST_OFFSET,
                midnight.and_utc() + MOST_OFFSET,
            );
            while after - before > TimeDelta::seconds(1) {
                let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
                if middle.with_timezone(&zone).naive_local() < midnight {
                    before = middle;
                } else {
                    after = middle;
                }
            }
            after
        }
    }
}
