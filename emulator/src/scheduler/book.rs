//! The schedules in memory: what exists, and what is due.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::clock::Timestamp;
use super::expression::{Expression, Timing};
use super::refusal::Refusal;
use super::schedule::{ActionAfterCompletion, Definition, Key, Schedule, ScheduleTarget, State};

/// Most schedules that the emulator keeps.
const MOST_SCHEDULES: usize = 100_000;
/// Deletions that are remembered, so that a request repeated with the same token gets the same
/// answer.
const DELETIONS_REMEMBERED: usize = 1_000;

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
    schedule: Schedule,
    timing: Timing,
    /// The newest instant that was taken or skipped. After a start, the newest answered one.
    fired: Option<Timestamp>,
    deleted: CancellationToken,
}

/// One instant of one schedule, to be delivered.
#[derive(Clone, Debug)]
pub(super) struct Firing {
    pub(super) key: Key,
    pub(super) scheduled: Timestamp,
    pub(super) target: ScheduleTarget,
    /// Cancelled when the schedule is deleted.
    pub(super) deleted: CancellationToken,
    /// The value of the entry's `fired` before this instant was taken.
    before: Option<Timestamp>,
}

/// All groups and schedules.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) groups: BTreeMap<String, Group>,
    entries: BTreeMap<Key, Entry>,
    deletions: VecDeque<(Key, String)>,
}

impl Book {
    /// Adds a schedule that was stored. If an instant has fallen due since its newest answered
    /// firing, the newest such instant is due now.
    pub(super) fn restore(&mut self, schedule: Schedule) {
        match schedule.timing() {
            Ok(timing) => {
                let (fired, deleted) = (schedule.answered, CancellationToken::new());
                self.entries.insert(
                    schedule.key.clone(),
                    Entry {
                        schedule,
                        timing,
                        fired,
                        deleted,
                    },
                );
            }
            Err(error) => {
                tracing::warn!(schedule = schedule.key.name, %error, "a stored schedule is unusable");
            }
        }
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

    /// Adds a schedule. The same request with the same token succeeds again and changes nothing.
    pub(super) fn create(&mut self, schedule: Schedule) -> Result<(), Refusal> {
        self.require_group(&schedule.key.group)?;

        if let Some(Entry {
            schedule: present, ..
        }) = self.entries.get(&schedule.key)
        {
            let repeated =
                schedule.client_token.is_some() && schedule.client_token == present.client_token;
            let same = repeated && schedule.definition == present.definition;
            return if same {
                Ok(())
            } else {
                Err(Refusal::Conflict(format!("Schedule {}", schedule.key.name)))
            };
        }

        if self.entries.len() >= MOST_SCHEDULES {
            return Err(Refusal::QuotaExceeded(format!(
                "There are {MOST_SCHEDULES} schedules already."
            )));
        }

        let timing = schedule
            .timing()
            .map_err(|error| Refusal::Validation(error.to_string()))?;

        // A moment in the past never comes, except within the minute that EventBridge may be late.
        let fired = match timing.expression {
            Expression::At(moment)
                if moment < schedule.creation_date - chrono::TimeDelta::minutes(1) =>
            {
                Some(moment)
            }
            _ => None,
        };

        let deleted = CancellationToken::new();
        self.entries.insert(
            schedule.key.clone(),
            Entry {
                schedule,
                timing,
                fired,
                deleted,
            },
        );

        Ok(())
    }

    /// Replaces a schedule's definition and keeps its history. A rate without a start date begins
    /// again only if its timing changes or the schedule is enabled.
    pub(super) fn update(
        &mut self,
        key: &Key,
        definition: Definition,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let entry = self
            .entries
            .get_mut(key)
            .ok_or_else(|| no_schedule(&key.name))?;

        let before = &entry.schedule.definition;
        let activated = before.state == State::Disabled && definition.state == State::Enabled;
        let changed = activated
            || before.schedule_expression != definition.schedule_expression
            || before.schedule_expression_timezone != definition.schedule_expression_timezone
            || before.start_date != definition.start_date;

        let mut schedule = Schedule {
            definition,
            last_modification_date: now,
            ..entry.schedule.clone()
        };
        if changed {
            schedule.activated = now;
        }

        // The timing comes first: a definition that is refused leaves the schedule as it was.
        entry.timing = schedule
            .timing()
            .map_err(|error| Refusal::Validation(error.to_string()))?;
        entry.schedule = schedule;

        Ok(())
    }

    /// Removes a schedule and withdraws its firings. A request repeated with the same token
    /// succeeds again.
    pub(super) fn delete(
        &mut self,
        key: &Key,
        client_token: Option<String>,
    ) -> Result<(), Refusal> {
        let Some(entry) = self.entries.remove(key) else {
            let repeated =
                client_token.is_some_and(|token| self.deletions.contains(&(key.clone(), token)));
            return if repeated {
                Ok(())
            } else {
                Err(no_schedule(&key.name))
            };
        };

        entry.deleted.cancel();
        if let Some(token) = client_token {
            self.deletions.truncate(DELETIONS_REMEMBERED - 1);
            self.deletions.push_front((key.clone(), token));
        }

        Ok(())
    }

    /// Removes a group with its schedules, and withdraws their firings.
    pub(super) fn delete_group(&mut self, name: &str) -> Result<(), Refusal> {
        self.groups.remove(name).ok_or_else(|| no_group(name))?;

        let gone: Vec<Key> = self
            .entries
            .keys()
            .filter(|key| key.group == name)
            .cloned()
            .collect();

        for entry in gone.iter().filter_map(|key| self.entries.remove(key)) {
            entry.deleted.cancel();
        }

        Ok(())
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
            let Some(scheduled) = entry
                .timing
                .newest_due(now)
                .filter(|due| entry.fired < Some(*due))
            else {
                continue;
            };

            let before = entry.fired.replace(scheduled);
            let (key, target) = (
                entry.schedule.key.clone(),
                entry.schedule.definition.target.clone(),
            );
            firings.push(Firing {
                key,
                scheduled,
                target,
                deleted: entry.deleted.clone(),
                before,
            });
        }

        firings
    }

    /// Returns a firing that cannot be delivered now. It is due again, unless a newer instant is.
    pub(super) fn put_back(&mut self, firing: &Firing) {
        // The key of a deleted schedule may belong to a new one by now.
        if let Some(entry) = self
            .entries
            .get_mut(&firing.key)
            .filter(|_| !firing.deleted.is_cancelled())
        {
            entry.fired = firing.before;
        }
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

    /// Notes that a firing was answered without error. Returns whether that changed what is stored.
    pub(super) fn note_answered(&mut self, firing: &Firing) -> bool {
        let Some(entry) = self
            .entries
            .get_mut(&firing.key)
            .filter(|_| !firing.deleted.is_cancelled())
        else {
            return false;
        };

        let newer = entry.schedule.answered < Some(firing.scheduled);
        if newer {
            entry.schedule.answered = Some(firing.scheduled);
        }
        newer
    }

    /// Removes a schedule that is to be deleted after completion, if it has no further instant. Its
    /// deliveries continue.
    pub(super) fn remove_completed(&mut self, key: &Key, now: Timestamp) -> bool {
        let completed = self.entries.get(key).is_some_and(|entry| {
            entry.schedule.definition.action_after_completion == ActionAfterCompletion::Delete
                && entry.timing.next_after(now).is_none()
        });

        completed && self.entries.remove(key).is_some()
    }
}

pub(super) fn no_schedule(name: &str) -> Refusal {
    Refusal::NotFound(format!("Schedule {name}"))
}

pub(super) fn no_group(name: &str) -> Refusal {
    Refusal::NotFound(format!("Schedule group {name}"))
}
