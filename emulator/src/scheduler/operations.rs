//! The operations of the REST API. A change is answered only once it is on disk.

use std::sync::{Arc, PoisonError};

use super::Scheduler;
use super::book::{Firing, Group, no_group, no_schedule};
use super::clock::Timestamp;
use super::refusal::Refusal;
use super::schedule::{DEFAULT_GROUP, Definition, Key, Schedule};
use super::validation::{self, Faults};

impl Scheduler {
    pub(super) async fn create(
        self: &Arc<Self>,
        key: Key,
        definition: Definition,
        client_token: Option<String>,
    ) -> Result<String, Refusal> {
        let now = self.clock.now();
        let mut faults = faults_of(&key);
        client_token
            .iter()
            .for_each(|token| faults.client_token(token));
        validation::check(&definition, now, faults)?;

        let arn = self.account.schedule_arn(&key);
        self.book()
            .create(Schedule::new(key.clone(), definition, client_token, now))?;

        if let Err(refusal) = self.persist(key.clone()).await {
            // A schedule that could not be stored was not created.
            self.book().delete(&key, None).ok();
            return Err(refusal);
        }

        self.changed.notify_one();
        Ok(arn)
    }

    pub(super) async fn update(
        self: &Arc<Self>,
        key: Key,
        definition: Definition,
    ) -> Result<String, Refusal> {
        let now = self.clock.now();
        validation::check(&definition, now, faults_of(&key))?;

        self.book().update(&key, definition, now)?;
        let arn = self.account.schedule_arn(&key);

        self.persist(key).await?;
        self.changed.notify_one();
        Ok(arn)
    }

    pub(super) fn get(&self, key: &Key) -> Result<Schedule, Refusal> {
        faults_of(key).into_result()?;
        self.book()
            .get(key)
            .cloned()
            .ok_or_else(|| no_schedule(&key.name))
    }

    pub(super) async fn delete(
        self: &Arc<Self>,
        key: Key,
        client_token: Option<String>,
    ) -> Result<(), Refusal> {
        faults_of(&key).into_result()?;
        self.book().delete(&key, client_token)?;
        self.persist(key).await
    }

    pub(super) async fn create_group(
        self: &Arc<Self>,
        name: String,
        client_token: Option<String>,
    ) -> Result<String, Refusal> {
        let mut faults = Faults::default();
        faults.name(&name, "name");
        faults.into_result()?;

        let group = Group {
            name: name.clone(),
            creation_date: self.clock.now(),
            client_token,
        };

        {
            let mut book = self.book();
            match book.groups.get(&name) {
                Some(present)
                    if group.client_token.is_some()
                        && present.client_token == group.client_token => {}
                Some(_) => return Err(Refusal::Conflict(format!("Schedule group {name}"))),
                None => drop(book.groups.insert(name.clone(), group)),
            }
        }

        self.persist_group(name.clone()).await?;
        Ok(self.account.group_arn(&name))
    }

    pub(super) fn get_group(&self, name: &str) -> Result<Group, Refusal> {
        self.book()
            .groups
            .get(name)
            .cloned()
            .ok_or_else(|| no_group(name))
    }

    pub(super) async fn delete_group(self: &Arc<Self>, name: String) -> Result<(), Refusal> {
        if name == DEFAULT_GROUP {
            return Err(Refusal::Validation(
                "The default schedule group cannot be deleted.".to_owned(),
            ));
        }
        self.book().delete_group(&name)?;
        self.persist_group(name).await
    }

    /// Creates or updates a schedule. It writes on the calling thread, so it is for the start,
    /// before the scheduler runs.
    pub(super) fn put(&self, key: &Key, definition: Definition) -> anyhow::Result<()> {
        let now = self.clock.now();
        validation::check(&definition, now, faults_of(key))?;

        {
            let mut book = self.book();
            match book.get(key) {
                Some(present) if present.definition == definition => return Ok(()),
                Some(_) => book.update(key, definition, now)?,
                None => book.create(Schedule::new(key.clone(), definition, None, now))?,
            }
        }

        self.write_through(key)?;
        self.changed.notify_one();
        Ok(())
    }

    /// Stores that a firing was answered, and removes a schedule that has completed.
    pub(super) async fn note_answered(self: &Arc<Self>, firing: Firing) {
        let now: Timestamp = self.clock.now();
        let changed = {
            let mut book = self.book();
            // `|` evaluates both sides: each may change what is stored.
            book.note_answered(&firing) | book.remove_completed(&firing.key, now)
        };

        if changed {
            // If this is not stored, one firing is repeated after the next start. The cause is in
            // the log.
            self.persist(firing.key).await.ok();
        }
    }

    async fn persist(self: &Arc<Self>, key: Key) -> Result<(), Refusal> {
        let scheduler = Arc::clone(self);
        on_disk(move || scheduler.write_through(&key)).await
    }

    /// Writes what the book holds now to a schedule's file, or removes the file.
    fn write_through(&self, key: &Key) -> anyhow::Result<()> {
        // The store is locked before the book is read. Otherwise the older of two concurrent
        // changes could be written last.
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let schedule = self.book().get(key).cloned();

        match schedule {
            Some(schedule) => store.write(&schedule),
            None => Ok(store.remove(key)?),
        }
    }

    async fn persist_group(self: &Arc<Self>, name: String) -> Result<(), Refusal> {
        let scheduler = Arc::clone(self);
        on_disk(move || {
            // The store is locked first for the same reason as in `write_through`.
            let store = scheduler
                .store
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let group = scheduler.book().groups.get(&name).cloned();

            match group {
                Some(group) => store.write_group(&group),
                None => Ok(store.remove_group(&name)?),
            }
        })
        .await
    }
}

fn faults_of(key: &Key) -> Faults {
    let mut faults = Faults::default();
    faults.name(&key.name, "name");
    faults.name(&key.group, "groupName");
    faults
}

/// Runs `work` on a thread that may block. The log has its error; the answer does not.
async fn on_disk(
    work: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> Result<(), Refusal> {
    let done = tokio::task::spawn_blocking(work).await;

    done.map_err(anyhow::Error::from)
        .flatten()
        .map_err(|error| {
            tracing::error!(error = format!("{error:#}"), "cannot store a schedule");
            Refusal::Internal
        })
}
