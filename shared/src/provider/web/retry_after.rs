//! How long a provider's rate limit lasts, as its header says.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::market::Timestamp;

/// The longest wait that an answer can cause; the shortest is a second.
const LONGEST: Duration = Duration::from_hours(24);

/// The wait that a `Retry-After` header asks for, in seconds or as a date. It is limited to
/// [`LONGEST`], and is `None` if the header is missing or cannot be read.
pub(super) fn told(retry_after: Option<&str>, now: Timestamp) -> Option<Duration> {
    let text = retry_after?.trim();

    let seconds = || text.parse().ok().map(Duration::from_secs);
    let until_date = || {
        let date = DateTime::parse_from_rfc2822(text).ok()?.with_timezone(&Utc);
        Some((date - now).to_std().unwrap_or_default())
    };

    seconds().or_else(until_date).map(within_reason)
}

/// A wait that an answer asks for, within the limits of all such waits.
pub(in crate::provider) fn within_reason(wait: Duration) -> Duration {
    wait.clamp(Duration::from_secs(1), LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date_within_reason() {
        let now = "2026-01-05T10:30:00Z".parse().unwrap();
        for (header, seconds) in [
            (None, None),
            (Some("120"), Some(120)),
            (Some("0"), Some(1)),
            (Some("99999999999"), Some(86_400)),
            (Some("Mon, 05 Jan 2026 10:32:00 GMT"), Some(120)),
            (Some("Mon, 05 Jan 2026 10:00:00 GMT"), Some(1)),
            (Some("soon"), None),
            (Some("-5"), None),
        ] {
            assert_eq!(
                told(header, now),
                seconds.map(Duration::from_secs),
                "{header:?}"
            );
        }
    }
}
