//! Changes of the book: planned by what it holds, and made once they are on disk.

use super::super::schedule::{Definition, State};
use super::{
    Book, Firing, Group, Key, Refusal, Schedule, Timestamp, Timing, no_group, no_schedule,
};

/// Most schedules that the emulator keeps.
const MOST_SCHEDULES: usize = 100_000;
/// Deletions that are remembered, so that a request repeated with the same token gets the same
/// answer.
const DELETIONS_REMEMBERED: usize = 1_000;

/// A change of one schedule or one group.
#[derive(Clone, Debug)]
pub(in super::super) enum Change {
    /// A new schedule, or the new state of an existing one.
    Put(Box<Schedule>, Timing),
    /// The deletion of a schedule, with the token of the request.
    Delete(Key, Option<String>),
    /// A new group.
    PutGroup(Group),
    /// The deletion of a group with its schedules.
    DeleteGroup(String),
}

/// Plans. `None` means that nothing is to be changed.
impl Book {
    /// Plans a new schedule. The same request with the same token succeeds again and changes
    /// nothing.
    pub(in super::super) fn create(&self, schedule: Schedule) -> Result<Option<Change>, Refusal> {
        self.require_group(&schedule.key.group)?;

        if let Some(present) = self.get(&schedule.key) {
            let repeated =
                schedule.client_token.is_some() && schedule.client_token == present.client_token;
            let same = repeated && schedule.definition == present.definition;
            return if same {
                Ok(None)
            } else {
                Err(Refusal::Conflict(format!("Schedule {}", schedule.key.name)))
            };
        }

        if self.entries.len() >= MOST_SCHEDULES {
            return Err(Refusal::QuotaExceeded(format!(
                "There are {MOST_SCHEDULES} schedules already."
            )));
        }

        put(schedule).map(Some)
    }

    /// Plans to replace a schedule's definition and to keep its history. A rate without a start
    /// date begins again only if its timing changes or the schedule is enabled.
    pub(in super::super) fn update(
        &self,
        key: &Key,
        definition: Definition,
        now: Timestamp,
    ) -> Result<Option<Change>, Refusal> {
        let present = self.get(key).ok_or_else(|| no_schedule(&key.name))?;

        let before = &present.definition;
        let activated = before.state == State::Disabled && definition.state == State::Enabled;
        let changed = activated
            || before.schedule_expression != definition.schedule_expression
            || before.schedule_expression_timezone != definition.schedule_expression_timezone
            || before.start_date != definition.start_date;

        let mut schedule = Schedule {
            definition,
            last_modification_date: now,
            ..present.clone()
        };
        if changed {
            schedule.activated = now;
        }

        put(schedule).map(Some)
    }

    /// Plans to delete a schedule. A request repeated with the same token succeeds again.
    pub(in super::super) fn delete(
        &self,
        key: &Key,
        client_token: Option<String>,
    ) -> Result<Option<Change>, Refusal> {
        if self.entries.contains_key(key) {
            return Ok(Some(Change::Delete(key.clone(), client_token)));
        }

        let repeated =
            client_token.is_some_and(|token| self.deletions.contains(&(key.clone(), token)));
        if repeated {
            Ok(None)
        } else {
            Err(no_schedule(&key.name))
        }
    }

    /// Plans to store that a firing was answered without error, or to delete its schedule if that
    /// has completed. Call [`Book::settle`] before.
    pub(in super::super) fn settled(
        &self,
        firing: &Firing,
        answered: bool,
        now: Timestamp,
    ) -> Option<Change> {
        let entry = self.entry(firing)?;
        if entry.is_completed(now) {
            return Some(Change::Delete(firing.key.clone(), None));
        }

        let newer = answered && entry.schedule.answered < Some(firing.scheduled);
        newer.then(|| {
            let schedule = Schedule {
                answered: Some(firing.scheduled),
                ..entry.schedule.clone()
            };
            Change::Put(Box::new(schedule), entry.timing)
        })
    }

    /// Plans to delete a schedule if it has completed.
    pub(in super::super) fn complete(&self, key: &Key, now: Timestamp) -> Option<Change> {
        let entry = self.entries.get(key)?;
        entry
            .is_completed(now)
            .then(|| Change::Delete(key.clone(), None))
    }

    /// Plans a new group. The same request with the same token succeeds again.
    pub(in super::super) fn create_group(&self, group: Group) -> Result<Option<Change>, Refusal> {
        match self.groups.get(&group.name) {
            Some(present)
                if group.client_token.is_some() && present.client_token == group.client_token =>
            {
                Ok(None)
            }
            Some(_) => Err(Refusal::Conflict(format!("Schedule group {}", group.name))),
            None => Ok(Some(Change::PutGroup(group))),
        }
    }

    /// Plans to delete a group with its schedules.
    pub(in super::super) fn delete_group(&self, name: &str) -> Result<Option<Change>, Refusal> {
        if self.groups.contains_key(name) {
            Ok(Some(Change::DeleteGroup(name.to_owned())))
        } else {
            Err(no_group(name))
        }
    }
}

fn put(schedule: Schedule) -> Result<Change, Refusal> {
    let timing = schedule
        .timing()
        .map_err(|error| Refusal::Validation(error.to_string()))?;
    Ok(Change::Put(Box::new(schedule), timing))
}

impl Book {
    /// Returns the change that makes the disk what it was before `change`, which is not made in the
    /// book.
    pub(in super::super) fn reverse(&self, change: &Change) -> Change {
        match change {
            Change::Put(schedule, _) => self.present(&schedule.key),
            Change::Delete(key, _) => self.present(key),
            Change::PutGroup(Group { name, .. }) | Change::DeleteGroup(name) => {
                let present = self.groups.get(name).cloned().map(Change::PutGroup);
                present.unwrap_or_else(|| Change::DeleteGroup(name.clone()))
            }
        }
    }

    fn present(&self, key: &Key) -> Change {
        self.entries.get(key).map_or_else(
            || Change::Delete(key.clone(), None),
            |entry| Change::Put(Box::new(entry.schedule.clone()), entry.timing),
        )
    }

    /// Makes a change that is on disk. The firings of a schedule that is deleted are withdrawn.
    pub(in super::super) fn make(&mut self, change: Change) {
        match change {
            Change::Put(schedule, timing) => match self.entries.get_mut(&schedule.key) {
                Some(entry) => (entry.schedule, entry.timing) = (*schedule, timing),
                None => self.insert(*schedule, timing),
            },
            Change::Delete(key, client_token) => {
                self.withdraw(&key);
                if let Some(token) = client_token {
                    self.deletions.truncate(DELETIONS_REMEMBERED - 1);
                    self.deletions.push_front((key, token));
                }
            }
            Change::PutGroup(group) => drop(self.groups.insert(group.name.clone(), group)),
            Change::DeleteGroup(name) => {
                let members = self.entries.keys().filter(|key| key.group == name);
                let members: Vec<Key> = members.cloned().collect();
                members.iter().for_each(|key| self.withdraw(key));
                self.groups.remove(&name);
            }
        }
    }

    fn withdraw(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            entry.deleted.cancel();
        }
    }
}
