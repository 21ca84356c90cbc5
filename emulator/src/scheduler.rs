//! EventBridge Scheduler on one machine: its REST API, and the firing of schedules.
//!
//! Schedules are kept on disk, each with its newest firing that was answered without error. At the
//! start, the newest firing that has fallen due since then is delivered once; older ones are
//! dropped. A firing is delivered like an asynchronous invocation of Lambda: it is retried after an
//! error, without holding up later firings.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::async_invocation::{RETRY_WAITS, Retries};
use crate::clock::{self, Clock, SystemClock};
use crate::invoker::Invoker;
use crate::visitors::Visitors;

mod api;
mod book;
mod epoch_seconds;
mod expression;
mod firing;
mod operations;
mod payload;
mod refusal;
mod schedule;
mod store;
#[cfg(test)]
mod tests;
mod validation;

use book::{Book, Group};
use schedule::{
    ActionAfterCompletion, DEFAULT_GROUP, Definition, FlexibleTimeWindow, FlexibleTimeWindowMode,
    Key, RetryPolicy, ScheduleTarget, State,
};
use store::Store;

/// The settings of a scheduler.
#[derive(Clone, Debug)]
pub(crate) struct SchedulerSettings {
    /// Contains the schedules, in one directory per group.
    pub(crate) directory: PathBuf,
    /// Groups that exist from the start, besides `default`.
    pub(crate) groups: Vec<String>,
    /// How firings are retried, by function name.
    pub(crate) retries: BTreeMap<String, Retries>,
    /// Region and account that appear in ARNs.
    pub(crate) account: Account,
    /// Waits before the second and the third attempt of a firing that was answered with an error.
    pub(crate) retry_waits: [Duration; 2],
}

impl SchedulerSettings {
    /// Settings with AWS's own values, and with schedules in `directory`.
    pub(crate) fn new(directory: PathBuf) -> Self {
        let account = Account {
            region: "us-east-1".to_owned(),
            id: "000000000000".to_owned(),
        };
        Self {
            directory,
            groups: Vec::new(),
            retries: BTreeMap::new(),
            account,
            retry_waits: RETRY_WAITS,
        }
    }
}

/// Region and account id.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// For example `us-east-1`.
    pub(crate) region: String,
    /// Twelve digits.
    pub(crate) id: String,
}

impl Account {
    fn schedule_arn(&self, key: &Key) -> String {
        format!(
            "arn:aws:scheduler:{}:{}:schedule/{}/{}",
            self.region, self.id, key.group, key.name
        )
    }

    fn group_arn(&self, name: &str) -> String {
        format!(
            "arn:aws:scheduler:{}:{}:schedule-group/{name}",
            self.region, self.id
        )
    }
}

/// A schedule that the template declares.
#[derive(Clone, Debug)]
pub(crate) struct DeclaredSchedule {
    /// Its group.
    pub(crate) group: String,
    /// Its name within its group.
    pub(crate) name: String,
    /// For example `rate(10 minutes)`.
    pub(crate) expression: String,
    /// Name of the function to invoke.
    pub(crate) function: String,
    /// The payload, as JSON text.
    pub(crate) input: Option<String>,
    /// How often a delivery that did not reach the function is retried.
    pub(crate) retry_attempts: u32,
}

/// The schedules, and everything that firing them needs.
#[derive(Debug)]
pub(crate) struct Scheduler {
    book: Mutex<Book>,
    store: Mutex<Store>,
    /// Notified when a schedule was added or changed, so that the next instant is computed again.
    changed: Notify,
    clock: Arc<dyn Clock>,
    invoker: Arc<dyn Invoker>,
    account: Account,
    retries: BTreeMap<String, Retries>,
    retry_waits: [Duration; 2],
}

impl Scheduler {
    /// Reads the stored schedules, and creates the groups that are missing.
    pub(crate) fn open(
        settings: SchedulerSettings,
        invoker: Arc<dyn Invoker>,
    ) -> anyhow::Result<Arc<Self>> {
        Self::open_with_clock(settings, invoker, Arc::new(SystemClock))
    }

    fn open_with_clock(
        settings: SchedulerSettings,
        invoker: Arc<dyn Invoker>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Arc<Self>> {
        let store = Store::open(settings.directory)?;
        let mut book = Book::default();

        for (group, schedules) in store.load()? {
            book.groups.insert(group.name.clone(), group);
            schedules
                .into_iter()
                .for_each(|schedule| book.restore(schedule));
        }

        for name in std::iter::once(DEFAULT_GROUP.to_owned()).chain(settings.groups) {
            if let Entry::Vacant(missing) = book.groups.entry(name) {
                let group = Group {
                    name: missing.key().clone(),
                    creation_date: clock.now(),
                    client_token: None,
                };
                store
                    .write_group(&group)
                    .context("cannot store a schedule group")?;
                missing.insert(group);
            }
        }

        Ok(Arc::new(Self {
            book: Mutex::new(book),
            store: Mutex::new(store),
            changed: Notify::new(),
            clock,
            invoker,
            account: settings.account,
            retries: settings.retries,
            retry_waits: settings.retry_waits,
        }))
    }

    /// Returns EventBridge Scheduler's REST API, for these visitors.
    pub(crate) fn router(self: &Arc<Self>, visitors: Visitors) -> axum::Router {
        api::router(Arc::clone(self), visitors)
    }

    /// Fires until stopped, then waits until the firings in flight are answered, and stores that.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        firing::run(self, stop).await;
    }

    /// Creates a schedule that the template declares, or updates it and keeps its history.
    pub(crate) fn ensure(&self, declared: DeclaredSchedule) -> anyhow::Result<()> {
        let Account { region, id } = &self.account;
        let definition = Definition {
            schedule_expression: declared.expression,
            schedule_expression_timezone: "UTC".to_owned(),
            start_date: None,
            end_date: None,
            state: State::Enabled,
            action_after_completion: ActionAfterCompletion::None,
            description: None,
            flexible_time_window: FlexibleTimeWindow {
                mode: FlexibleTimeWindowMode::Off,
                maximum_window_in_minutes: None,
            },
            kms_key_arn: None,
            target: ScheduleTarget {
                arn: format!(
                    "arn:aws:lambda:{region}:{id}:function:{}",
                    declared.function
                ),
                role_arn: format!("arn:aws:iam::{id}:role/scheduler"),
                input: declared.input,
                retry_policy: Some(RetryPolicy::of_attempts(declared.retry_attempts)),
                dead_letter_config: None,
            },
        };

        let key = Key {
            group: declared.group,
            name: declared.name,
        };
        self.put(&key, definition)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn retries(&self, function: &str) -> Retries {
        self.retries.get(function).copied().unwrap_or_default()
    }
}
