//! How long an invocation and its steps may take, so that it ends by itself before its host cuts it
//! off.

use std::time::Duration;

use chrono::TimeDelta;
use shared::market::Timestamp;

/// The time limit that `template.yaml` gives the function. It counts where the host tells no usable
/// deadline.
const DEFAULT: TimeDelta = TimeDelta::seconds(180);
/// The longest time limit that Lambda has: no invocation's deadline lies further ahead.
const LONGEST: TimeDelta = TimeDelta::minutes(15);
/// How long a relay waits for the next firing, counted from its own: a firing may be a minute late.
const RELAY: TimeDelta = TimeDelta::seconds(120);
/// What the last request to a provider leaves for its answer, and for all that follows.
const LAST_REQUEST: TimeDelta = TimeDelta::seconds(20);
/// What all work leaves for the invocation's answer.
const ANSWERING: TimeDelta = TimeDelta::seconds(1);
/// What a poll leaves for recording what came of it.
const RECORDING: TimeDelta = TimeDelta::seconds(2);

/// Longest that one request to a provider takes; the provider's own limit is shorter.
pub(crate) const FETCH: Duration = Duration::from_secs(11);
/// Longest that publishing takes; the log's own limit is shorter.
pub(crate) const PUBLISHING: Duration = Duration::from_secs(4);
/// Longest that Postgres may take for one attempt: past it the connection counts as lost.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(5);

/// The times that one invocation keeps to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// A relay waits for no tick later than this.
    pub(crate) relays_until: Timestamp,
    /// No request to a provider is begun later.
    pub(crate) last_start: Timestamp,
    /// What was answered is published by then, or not at all.
    pub(crate) published_by: Timestamp,
    /// No step goes on for longer.
    pub(crate) end: Timestamp,
}

impl Limits {
    /// For a firing of `scheduled_time`, in an invocation that is cut off at `deadline`.
    pub(crate) fn new(scheduled_time: Timestamp, deadline: Timestamp) -> Self {
        let (last_start, end) = (deadline - LAST_REQUEST, deadline - ANSWERING);
        Self {
            relays_until: (scheduled_time + RELAY).min(last_start),
            last_start,
            published_by: end - RECORDING,
            end,
        }
    }

    /// When the wait for something ends that has to be done before quotes can be published.
    pub(crate) fn before_publishing(&self) -> Timestamp {
        self.published_by - TimeDelta::from_std(PUBLISHING).unwrap_or_default()
    }
}

/// The deadline of an invocation that begins `now`, from the milliseconds since 1970 in which
/// Lambda gives it.
///
/// Some local tools fill in a time of 1970. Then, and where the deadline is past or further ahead
/// than any, the invocation has three minutes.
#[must_use]
pub fn deadline(milliseconds: u64, now: Timestamp) -> Timestamp {
    let told = i64::try_from(milliseconds)
        .ok()
        .and_then(Timestamp::from_timestamp_millis);
    told.filter(|told| *told > now && *told <= now + LONGEST)
        .unwrap_or(now + DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_no_invocation_has_is_three_minutes_ahead() {
        let now = Timestamp::from_timestamp_millis(1_780_000_000_000).unwrap();
        let seconds = |milliseconds| (deadline(milliseconds, now) - now).num_seconds();
        assert_eq!(seconds(1_780_000_030_000), 30);
        assert_eq!(seconds(1_780_000_900_000), 900, "the longest there is");
        for nonsense in [0, 600_000, 1_779_999_999_999, 1_780_000_900_001, u64::MAX] {
            assert_eq!(seconds(nonsense), 180, "{nonsense}");
        }
    }

    #[test]
    fn the_last_request_leaves_time_for_its_answer_and_for_each_step_after_it() {
        let deadline = Timestamp::from_timestamp(1_780_000_180, 0).unwrap();
        let limits = Limits::new(deadline, deadline);
        assert!(limits.last_start + FETCH < limits.before_publishing());
        assert!(limits.before_publishing() + PUBLISHING <= limits.published_by);
        assert!(limits.published_by < limits.end && limits.end < deadline);
    }
}
