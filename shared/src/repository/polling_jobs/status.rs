//! Whether a job is polled at its interval, and if not, why.

use chrono::{SecondsFormat, TimeDelta};
use serde::Serialize;

use super::PollingJob;
use crate::market::Timestamp;
use crate::tick;

/// Whether a job is polled at its interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// The job is polled at its interval.
    Active,
    /// The job waits longer, because its last runs failed or the provider asked for a pause.
    BackingOff,
    /// The job's next run is overdue: no poller polls it.
    Stalled,
}

impl PollingJob {
    /// The job's status at `now`.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> JobStatus {
        let backing_off = self.next_tick_at(now) > self.grid().next_after(now);

        match (now > self.overdue_at, backing_off) {
            (true, _) => JobStatus::Stalled,
            (false, true) => JobStatus::BackingOff,
            (false, false) => JobStatus::Active,
        }
    }

    /// Why the job is not polled at its interval, in words that are safe to show; `None` while it
    /// is active.
    #[must_use]
    pub fn reason(&self, now: Timestamp) -> Option<String> {
        match self.status(now) {
            JobStatus::Active => None,
            JobStatus::BackingOff => Some(match self.consecutive_failures {
                0 => "the provider asked for a pause".to_owned(),
                failures => format!("{failures} runs in a row published nothing"),
            }),
            JobStatus::Stalled => Some(self.reason_of_stalling(now)),
        }
    }

    /// The reason of a stalled job. It distinguishes a failing poller from a failing schedule: a
    /// recent firing means that the schedule works.
    fn reason_of_stalling(&self, now: Timestamp) -> String {
        let overdue = format!("a run was due by {}", time_text(self.overdue_at));
        let fired = self
            .last_firing_at
            .filter(|firing| *firing >= now - self.longest_silence());

        match (fired, self.last_firing_at) {
            (Some(firing), _) => format!(
                "{overdue}: its schedule fires, last at {}, but no run is recorded; the poller's log says why",
                time_text(firing)
            ),
            (None, Some(firing)) => format!(
                "{overdue}, but no firing of its schedule was seen after that of {}; upkeep mends the schedule, and \
                 the scheduler's and the poller's log say what else may be wrong",
                time_text(firing)
            ),
            (None, None) => format!(
                "{overdue}, but its schedule was never seen to fire; upkeep mends the schedule, and the scheduler's \
                 and the poller's log say what else may be wrong"
            ),
        }
    }

    /// How long a working schedule may be silent: two firings, and a minute by which each may be
    /// late.
    fn longest_silence(&self) -> TimeDelta {
        TimeDelta::seconds(2 * i64::from(self.interval_seconds.max(tick::MINUTE_SECONDS)))
            + TimeDelta::minutes(1)
    }
}

fn time_text(time: Timestamp) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
