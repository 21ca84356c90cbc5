//! How long Yahoo wants to be left alone.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::market::Timestamp;

/// Its blocks last a quarter of an hour and more; it seldom tells.
pub(super) const UNTOLD: Duration = Duration::from_mins(15);
/// No answer makes us wait longer than this, or shorter than a second.
const LONGEST: Duration = Duration::from_hours(24);

/// Remembers a limit until it is over.
#[derive(Debug, Default)]
pub(super) struct RateLimit {
    until: Mutex<Option<Instant>>,
}

impl RateLimit {
    /// How long the limit lasts on, if there is one at `now`.
    pub(super) fn remaining(&self, now: Instant) -> Option<Duration> {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until?
            .checked_duration_since(now)
            .filter(|rest| !rest.is_zero())
    }

    /// Notes that Yahoo limits us from `now` on.
    pub(super) fn begin(&self, now: Instant, wait: Duration) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = now.checked_add(wait);
    }
}

/// What a `Retry-After` header asks for, in seconds or as a date, within reason.
pub(super) fn wait(retry_after: Option<&str>, now: Timestamp) -> Duration {
    let Some(text) = retry_after.map(str::trim) else {
        return UNTOLD;
    };
    let seconds = || text.parse().ok().map(Duration::from_secs);
    let until_date = || {
        let date = DateTime::parse_from_rfc2822(text).ok()?.with_timezone(&Utc);
        Some((date - now).to_std().unwrap_or_default())
    };
    let told = seconds().or_else(until_date);
    told.map_or(UNTOLD, |told| told.clamp(Duration::from_secs(1), LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_holds_until_its_time_is_over() {
        let (limit, start) = (RateLimit::default(), Instant::now());
        assert_eq!(limit.remaining(start), None);
        limit.begin(start, Duration::from_secs(60));
        assert_eq!(
            limit.remaining(start + Duration::from_secs(59)),
            Some(Duration::from_secs(1))
        );
        assert_eq!(limit.remaining(start + Duration::from_secs(60)), None);
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date_within_reason() {
        let now = "2026-01-05T10:30:00Z".parse().unwrap();
        for (header, seconds) in [
            (None, 900),
            (Some("120"), 120),
            (Some("0"), 1),
            (Some("99999999999"), 86_400),
            (Some("Mon, 05 Jan 2026 10:32:00 GMT"), 120),
            (Some("Mon, 05 Jan 2026 10:00:00 GMT"), 1),
            (Some("soon"), 900),
            (Some("-5"), 900),
        ] {
            assert_eq!(
                wait(header, now),
                Duration::from_secs(seconds),
                "{header:?}"
            );
        }
    }
}
