//! The schedules in memory: what exists, and what is due.
//!
//! A [`Change`] is planned first and made later, when it is on disk.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::clock::Timestamp;
use super::expression::Timing;
use super::refusal::Refusal;
use super::schedule::{ActionAfterCompletion, Key, Schedule, ScheduleTarget, State};

mod change;

pub(super) use change::Change;

/// A schedule group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Group {
    pub(crate) name: String,
    #[serde(with = "super::epoch_seconds")]
    pub(crate) creation_date: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_token: Option<String>,
}

#[derive(Debug)]
struct Entry {
    /// Distinguishes the schedule from earlier and later ones with the same key.
    number: u64,
    schedule: Schedule,
    timing: Timing,
    /// The newest instant that was taken. After a start, the newest answered one.
    fired: Option<Timestamp>,
    /// Firings that were taken and are not settled.
    under_way: usize,
    deleted: CancellationToken,
}

impl Entry {
    /// Returns the newest instant up to `now`, if it was not taken.
    fn due(&self, now: Timestamp) -> Option<Timestamp> {
        self.timing
            .newest_due(now)
            .filter(|due| self.fired < Some(*due))
    }

    /// Returns true for a schedule that is to be deleted after completion once no instant is left
    /// and all firings are settled. An instant that passes while the schedule is disabled is left
    /// until the schedule is enabled again.
    fn is_completed(&self, now: Timestamp) -> bool {
        self.schedule.definition.action_after_completion == ActionAfterCompletion::Delete
            && self.under_way == 0
            && self.due(now).is_none()
            && self.timing.next_after(now).is_none()
    }
}

/// One instant of one schedule, to be delivered.
#[derive(Clone, Debug)]
pub(super) struct Firing {
    pub(super) key: Key,
    pub(super) scheduled: Timestamp,
    pub(super) target: ScheduleTarget,
    /// Cancelled when the schedule is deleted.
    pub(super) deleted: CancellationToken,
    /// The entry's `number`.
    number: u64,
    /// The value of the entry's `fired` before this instant was taken.
    before: Option<Timestamp>,
}

/// All groups and schedules.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) groups: BTreeMap<String, Group>,
    entries: BTreeMap<Key, Entry>,
    /// The number of the newest entry.
    newest: u64,
    deletions: VecDeque<(Key, String)>,
}

impl Book {
    /// Adds a schedule that was stored. If an instant has fallen due since its newest answered
    /// firing, the newest such instant is due now.
    pub(super) fn restore(&mut self, schedule: Schedule) {
        match schedule.timing() {
            Ok(timing) => self.insert(schedule, timing),
            Err(error) => {
                let name = &schedule.key.name;
                tracing::warn!(schedule = name, %error, "the stored schedule {name} is unusable");
            }
        }
    }

    fn insert(&mut self, schedule: Schedule, timing: Timing) {
        self.newest += 1;
        self.entries.insert(
            schedule.key.clone(),
            Entry {
                number: self.newest,
                fired: schedule.answered,
                schedule,
                timing,
                under_way: 0,
                deleted: CancellationToken::new(),
            },
        );
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Schedule> {
        self.entries.get(key).map(|entry| &entry.schedule)
    }

    /// Returns all schedules, by group and name.
    pub(super) fn schedules(&self) -> impl Iterator<Item = &Schedule> {
        self.entries.values().map(|entry| &entry.schedule)
    }

    pub(super) fn require_group(&self, name: &str) -> Result<(), Refusal> {
        if self.groups.contains_key(name) {
            Ok(())
        } else {
            Err(no_group(name))
        }
    }

    /// Takes the newest instant of each schedule that is due and was not taken yet. Older instants
    /// are dropped.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<Firing> {
        let mut firings = Vec::new();

        for entry in self
            .entries
            .values_mut()
            .filter(|entry| entry.schedule.definition.state == State::Enabled)
        {
            let Some(scheduled) = entry.due(now) else {
                continue;
            };

            let before = entry.fired.replace(scheduled);
            entry.under_way += 1;
            let (key, target) = (
                entry.schedule.key.clone(),
                entry.schedule.definition.target.clone(),
            );
            firings.push(Firing {
                key,
                scheduled,
                target,
                deleted: entry.deleted.clone(),
                number: entry.number,
                before,
            });
        }

        firings
    }

    /// Returns a firing that cannot be delivered now. It is due again, unless a newer instant is.
    pub(super) fn put_back(&mut self, firing: &Firing) {
        if let Some(entry) = self.entry_mut(firing) {
            entry.fired = firing.before;
            entry.under_way -= 1;
        }
    }

    /// Notes that no further attempt of a firing follows, whether or not it was answered.
    pub(super) fn settle(&mut self, firing: &Firing) {
        if let Some(entry) = self.entry_mut(firing) {
            entry.under_way -= 1;
        }
    }

    /// Returns the schedule of a firing, unless it was deleted. Its key may belong to a new
    /// schedule by now.
    fn entry(&self, firing: &Firing) -> Option<&Entry> {
        self.entries
            .get(&firing.key)
            .filter(|entry| entry.number == firing.number)
    }

    fn entry_mut(&mut self, firing: &Firing) -> Option<&mut Entry> {
        self.entries
            .get_mut(&firing.key)
            .filter(|entry| entry.number == firing.number)
    }

    /// Returns the first instant after `now` of all enabled schedules.
    pub(super) fn next_instant(&self, now: Timestamp) -> Option<Timestamp> {
        let enabled = self
            .entries
            .values()
            .filter(|entry| entry.schedule.definition.state == State::Enabled);

        enabled
            .filter_map(|entry| entry.timing.next_after(now))
            .min()
    }

    /// Returns the schedules that have completed and are to be deleted then.
    pub(super) fn completed(&self, now: Timestamp) -> Vec<Key> {
        self.entries
            .iter()
            .filter(|(_, entry)| entry.is_completed(now))
            .map(|(key, _)| key.clone())
            .collect()
    }
}

pub(super) fn no_schedule(name: &str) -> Refusal {
    Refusal::NotFound(format!("Schedule {name}"))
}

pub(super) fn no_group(name: &str) -> Refusal {
    Refusal::NotFound(format!("Schedule group {name}"))
}
