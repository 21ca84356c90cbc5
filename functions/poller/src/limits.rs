//! The time limits of an invocation and its steps. They let it end by itself before Lambda cuts it
//! off.

use std::time::Duration;

use chrono::TimeDelta;
use shared::market::Timestamp;

/// The function's timeout in `template.yaml`. It is used if the host gives no usable deadline.
const DEFAULT: TimeDelta = TimeDelta::seconds(180);
/// Lambda's longest timeout: no invocation's deadline is further in the future.
const LONGEST: TimeDelta = TimeDelta::minutes(15);
/// How long a relay waits for the next firing, counted from its own. The next firing comes after
/// one minute and may be another minute late.
const RELAY: TimeDelta = TimeDelta::seconds(120);
/// The time between the start of the last request to a provider and the deadline: for its answer
/// and all steps after it.
const LAST_REQUEST: TimeDelta = TimeDelta::seconds(20);
/// The time between the end of all work and the deadline: for the invocation's answer.
const ANSWERING: TimeDelta = TimeDelta::seconds(1);
/// The time between the end of publishing and the end of all work: for recording the run.
const RECORDING: TimeDelta = TimeDelta::seconds(2);

/// Longest that one request to a provider may take; the provider's own limit is shorter.
pub(crate) const FETCH: Duration = Duration::from_secs(11);
/// Longest that publishing may take; the log's own limit is shorter.
pub(crate) const PUBLISHING: Duration = Duration::from_secs(4);
/// Longest that Postgres may take for one attempt; after it the connection counts as lost.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(5);

/// How long a request waits for a provider's budget although another provider could be asked: for
/// the tokens of a second.
const SHORT_WAIT: TimeDelta = TimeDelta::milliseconds(1_100);

/// The points in time that limit the steps of one invocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// A relay waits for no tick after this time.
    pub(crate) relays_until: Timestamp,
    /// No request to a provider starts after this time.
    pub(crate) last_start: Timestamp,
    /// Publishing ends at this time; quotes that are not acknowledged by then count as failed.
    pub(crate) published_by: Timestamp,
    /// Every step ends at this time.
    pub(crate) end: Timestamp,
}

impl Limits {
    /// The limits for a firing of `scheduled_time`, in an invocation that is cut off at `deadline`.
    pub(crate) fn new(scheduled_time: Timestamp, deadline: Timestamp) -> Self {
        let (last_start, end) = (deadline - LAST_REQUEST, deadline - ANSWERING);
        Self {
            relays_until: (scheduled_time + RELAY).min(last_start),
            last_start,
            published_by: end - RECORDING,
            end,
        }
    }

    /// When the steps before publishing have to end: the whole of [`PUBLISHING`] is left then.
    pub(crate) fn before_publishing(&self) -> Timestamp {
        self.published_by - TimeDelta::from_std(PUBLISHING).unwrap_or_default()
    }
}

/// Until when a request that is made `now` waits for a provider's budget, if the next tick of its jobs
/// is at `next_tick`. If no other provider is left to ask, that is until this tick. Otherwise it
/// waits shortly, and all requests since the provider's turn `began` leave the other providers half of
/// the time until the tick.
pub(crate) fn budget_wait(
    now: Timestamp,
    began: Timestamp,
    next_tick: Option<Timestamp>,
    is_last: bool,
) -> Timestamp {
    let short = now + SHORT_WAIT;

    match next_tick {
        Some(next) if is_last => short.max(next),
        Some(next) => {
            let half = began + (next - began) / 2;
            short.min(half.max(began + SHORT_WAIT))
        }
        None => short,
    }
}

/// The deadline of an invocation that begins `now`, from Lambda's number of milliseconds since
/// 1970.
///
/// Some local tools give a time in 1970. A deadline that has passed, or is further in the future
/// than Lambda's longest timeout, is replaced by three minutes from `now`.
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

    #[test]
    fn waits_for_a_budget_leave_the_next_provider_half_of_the_time_until_the_next_tick() {
        let at = |milliseconds| Timestamp::from_timestamp_millis(milliseconds).unwrap();
        let wait = |now, next: Option<i64>, is_last| {
            let until = budget_wait(at(now), at(1_000), next.map(at), is_last);
            (until - at(now)).num_milliseconds()
        };

        assert_eq!(wait(1_000, Some(61_000), false), 1_100);
        assert_eq!(wait(30_500, Some(61_000), false), 500, "until second 31");
        assert_eq!(wait(45_000, Some(61_000), false), -14_000, "not at all");
        assert_eq!(wait(1_000, Some(2_000), false), 1_100, "once in any case");
        assert_eq!(wait(2_500, Some(2_000), false), -400, "and not again");

        assert_eq!(wait(1_000, Some(61_000), true), 60_000);
        assert_eq!(
            wait(70_000, Some(61_000), true),
            1_100,
            "the tick has passed"
        );
        assert_eq!(wait(45_000, None, false), 1_100);
    }
}
