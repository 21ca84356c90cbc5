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
    /// A request paused the job: its ticks are skipped until another one resumes it.
    Paused,
}

impl JobStatus {
    /// The statuses.
    pub const ALL: [Self; 4] = [Self::Active, Self::BackingOff, Self::Stalled, Self::Paused];

    /// The word used in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::BackingOff => "backing_off",
            Self::Stalled => "stalled",
            Self::Paused => "paused",
        }
    }
}

impl PollingJob {
    /// The job's status at `now`.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> JobStatus {
        if self.paused_at.is_some() {
            JobStatus::Paused
        } else if Some(now) > self.overdue_at {
            JobStatus::Stalled
        } else if self.backing_off_since.is_some() {
            JobStatus::BackingOff
        } else {
            JobStatus::Active
        }
    }

    /// Since when the job has its status at `now`.
    #[must_use]
    pub fn since(&self, now: Timestamp) -> Timestamp {
        let since = match self.status(now) {
            JobStatus::Paused => self.paused_at,
            JobStatus::Stalled => self.overdue_at,
            JobStatus::BackingOff => self.backing_off_since,
            JobStatus::Active => self.active_since,
        };
        since.unwrap_or(self.created_at)
    }

    /// Why the job is not polled at its interval, in words that are safe to show; `None` while it
    /// is.
    #[must_use]
    pub fn reason(&self, now: Timestamp) -> Option<String> {
        match self.status(now) {
            JobStatus::Active => self.closed_until.filter(|until| now < *until).map(|until| {
                let until = time_text(until);
                format!("the markets of all its symbols are closed; it asks again at {until}")
            }),
            JobStatus::Paused => Some("a request paused it; POST …/resume resumes it".to_owned()),
            JobStatus::BackingOff => Some(match self.consecutive_failures {
                0 => "the provider asked for a pause".to_owned(),
                1 => "its last run published nothing".to_owned(),
                failures => format!("{failures} runs in a row published nothing"),
            }),
            JobStatus::Stalled => self.overdue_at.map(|due| self.reason_of_stalling(due, now)),
        }
    }

    /// The reason of a stalled job. It distinguishes a failing poller from a failing schedule: a
    /// recent firing means that the schedule works.
    fn reason_of_stalling(&self, due: Timestamp, now: Timestamp) -> String {
        let overdue = format!("a run was due by {}", time_text(due));
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
