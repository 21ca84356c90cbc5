//! What a schedule fires for.

use aws_sdk_scheduler::types::RetryPolicy;
use uuid::Uuid;

use crate::tick::{self, MINUTE_SECONDS};

/// How often EventBridge tries to deliver a firing. If the poller itself fails, Lambda retries.
const DELIVERY_ATTEMPTS: i32 = 20;
/// What precedes a relay's number in its schedule's name.
const RELAY: &str = "relay-";

/// What a schedule fires for, as its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Named {
    /// A job, by its id.
    Job(Uuid),
    /// A relay, by its number.
    Relay(i32),
}

impl Named {
    /// What the name of a schedule says that it fires for; `None` if the schedule is not ours.
    #[must_use]
    pub fn read(name: &str) -> Option<Self> {
        match name.strip_prefix(RELAY) {
            Some(number) => number.parse().ok().map(Self::Relay),
            None => name.parse().ok().map(Self::Job),
        }
        .filter(|named| named.name() == name)
    }

    /// The schedule's name.
    pub(super) fn name(self) -> String {
        match self {
            Self::Job(job_id) => job_id.to_string(),
            Self::Relay(number) => format!("{RELAY}{number}"),
        }
    }
}

/// What a schedule fires for, with all that its definition depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    named: Named,
    interval_seconds: u32,
}

impl Subject {
    pub(super) fn job(job_id: Uuid, interval_seconds: u32) -> Self {
        let named = Named::Job(job_id);
        Self {
            named,
            interval_seconds,
        }
    }

    pub(super) fn relay(number: i32) -> Self {
        let named = Named::Relay(number);
        Self {
            named,
            interval_seconds: MINUTE_SECONDS,
        }
    }

    pub(super) fn name(&self) -> String {
        self.named.name()
    }

    /// The poller's input; EventBridge fills in the time.
    pub(super) fn input(&self) -> String {
        let subject = match self.named {
            Named::Job(job_id) => format!(r#""job_id":"{job_id}""#),
            Named::Relay(number) => format!(r#""relay_id":{number}"#),
        };
        format!(r#"{{{subject},"scheduled_time":"<aws.scheduler.scheduled-time>"}}"#)
    }

    /// How often the schedule fires: at the job's interval, or each minute.
    pub(super) fn expression(&self) -> String {
        match self.interval_seconds / MINUTE_SECONDS {
            minutes if minutes > 1 && !tick::is_relayed(self.interval_seconds) => {
                format!("rate({minutes} minutes)")
            }
            _ => "rate(1 minute)".to_owned(),
        }
    }

    pub(super) fn delivery(&self) -> RetryPolicy {
        let age = tick::delivery_age(self.interval_seconds).num_seconds();
        let age = i32::try_from(age).unwrap_or(i32::MAX);
        RetryPolicy::builder()
            .maximum_event_age_in_seconds(age)
            .maximum_retry_attempts(DELIVERY_ATTEMPTS)
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_s_name_tells_what_it_fires_for() {
        let job_id = Uuid::from_u128(7);
        for named in [Named::Job(job_id), Named::Relay(12)] {
            assert_eq!(Named::read(&named.name()), Some(named));
        }
        for foreign in [
            "nightly-report",
            "relay-",
            "relay-x",
            "relay-007",
            "relay--",
        ] {
            assert_eq!(Named::read(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn intervals_that_are_no_whole_minutes_fire_each_minute() {
        let expression = |interval| Subject::job(Uuid::from_u128(7), interval).expression();
        for interval in [1, 59, 60, 61, 90, 86_399] {
            assert_eq!(expression(interval), "rate(1 minute)", "{interval}");
        }
        assert_eq!(expression(86_400), "rate(1440 minutes)");
    }

    #[test]
    fn a_relay_s_schedule_fires_each_minute_with_its_number() {
        let relay = Subject::relay(3);
        assert_eq!(relay.expression(), "rate(1 minute)");
        assert_eq!(
            relay.input(),
            r#"{"relay_id":3,"scheduled_time":"<aws.scheduler.scheduled-time>"}"#
        );
    }
}
