//! The operations of the REST API. A change takes effect, and is answered, only once it is on disk.

use std::sync::{Arc, PoisonError};

use chrono::SubsecRound as _;

use super::Scheduler;
use super::book::{Book, Change, Firing, Group, no_group, no_schedule};
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
        let now = self.now();
        let mut faults = faults_of(&key);
        client_token
            .iter()
            .for_each(|token| faults.client_token(token));
        validation::check(&definition, now, faults)?;

        let arn = self.account.schedule_arn(&key);
        let schedule = Schedule::new(key, definition, client_token, now);
        self.on_disk(move |scheduler| {
            scheduler.change(|book| book.create(schedule))?;
            scheduler.changed.notify_one();
            Ok(())
        })
        .await?;

        Ok(arn)
    }

    pub(super) async fn update(
        self: &Arc<Self>,
        key: Key,
        definition: Definition,
    ) -> Result<String, Refusal> {
        let now = self.now();
        validation::check(&definition, now, faults_of(&key))?;

        let arn = self.account.schedule_arn(&key);
        self.on_disk(move |scheduler| {
            scheduler.change(|book| book.update(&key, definition, now))?;
            scheduler.changed.notify_one();
            Ok(())
        })
        .await?;

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
        self.on_disk(move |scheduler| scheduler.change(|book| book.delete(&key, client_token)))
            .await
    }

    pub(super) async fn create_group(
        self: &Arc<Self>,
        name: String,
        client_token: Option<String>,
    ) -> Result<String, Refusal> {
        let mut faults = Faults::default();
        faults.name(&name, "name");
        faults.into_result()?;

        let arn = self.account.group_arn(&name);
        let group = Group {
            name,
            creation_date: self.now(),
            client_token,
        };
        self.on_disk(move |scheduler| scheduler.change(|book| book.create_group(group)))
            .await?;

        Ok(arn)
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
        self.on_disk(move |scheduler| scheduler.change(|book| book.delete_group(&name)))
            .await
    }

    /// Creates or updates a schedule. It writes on the calling thread, so it is for the start,
    /// before the scheduler runs.
    pub(super) fn put(&self, key: &Key, definition: Definition) -> anyhow::Result<()> {
        let now = self.now();
        validation::check(&definition, now, faults_of(key))?;

        self.change(|book| match book.get(key) {
            Some(present) if present.definition == definition => Ok(None),
            Some(_) => book.update(key, definition, now),
            None => book.create(Schedule::new(key.clone(), definition, None, now)),
        })?;
        self.changed.notify_one();
        Ok(())
    }

    /// Stores whether a firing was answered, after which no further attempt of it follows. Removes
    /// a schedule that has completed with it.
    pub(super) async fn settle(self: &Arc<Self>, firing: Firing, answered: bool) {
        let now = self.now();
        self.book().settle(&firing);

        // If this is not stored, one firing is repeated after the next start, or the loop that
        // fires removes the schedule. The cause is in the log.
        self.on_disk(move |scheduler| {
            scheduler.change(|book| Ok(book.settled(&firing, answered, now)))
        })
        .await
        .ok();
    }

    /// Removes those of the schedules that have completed.
    pub(super) async fn remove_completed(self: &Arc<Self>, keys: Vec<Key>) {
        let now = self.now();
        for key in keys {
            // One that cannot be removed is found again. The cause is in the log.
            self.on_disk(move |scheduler| scheduler.change(|book| Ok(book.complete(&key, now))))
                .await
                .ok();
        }
    }

    /// Makes the change that `plan` returns: on disk first and then in the book, so that a change
    /// that cannot be stored has no effect, and the same request can be sent again.
    fn change(
        &self,
        plan: impl FnOnce(&Book) -> Result<Option<Change>, Refusal>,
    ) -> anyhow::Result<()> {
        // The store stays locked until the change is in the book, because the next change is
        // planned by what this one leaves.
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(change) = plan(&self.book())? else {
            return Ok(());
        };

        if let Err(error) = store.make(&change) {
            // The file may have been replaced already, for example if only the directory could not
            // be synchronized. This attempt to restore it may fail for the same cause.
            let reverse = self.book().reverse(&change);
            store.make(&reverse).ok();
            return Err(error);
        }

        self.book().make(change);
        Ok(())
    }

    /// Runs `work` on a thread that may block. It is completed even if the caller is dropped,
    /// because its client has disconnected.
    async fn on_disk(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> anyhow::Result<()> + Send + 'static,
    ) -> Result<(), Refusal> {
        let scheduler = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&scheduler)).await;

        done.map_err(anyhow::Error::from).flatten().map_err(refusal)
    }

    /// Returns the time in milliseconds, as it is stored.
    fn now(&self) -> Timestamp {
        self.clock.now().trunc_subsecs(3)
    }
}

fn faults_of(key: &Key) -> Faults {
    let mut faults = Faults::default();
    faults.name(&key.name, "name");
    faults.name(&key.group, "groupName");
    faults
}

/// Returns the refusal that `error` is. The log has any other error, and the answer does not.
fn refusal(error: anyhow::Error) -> Refusal {
    error.downcast().unwrap_or_else(|error| {
        tracing::error!(error = format!("{error:#}"), "cannot store a schedule");
        Refusal::Internal
    })
}
