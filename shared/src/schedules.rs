//! The schedules of polling jobs in EventBridge Scheduler: one per job whose interval is a whole
//! number of minutes, named by the job's id, and one per relay, which serves the others.
//!
//! A schedule contains only the job's id or the relay's number; Postgres has what is polled. The
//! endpoint is AWS's, or that of `AWS_ENDPOINT_URL_SCHEDULER`.

use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_scheduler::error::{BuildError, DisplayErrorContext, SdkError};
use aws_sdk_scheduler::operation::create_schedule::CreateScheduleError;
use aws_sdk_scheduler::operation::delete_schedule::DeleteScheduleError;
use aws_sdk_scheduler::operation::get_schedule::{GetScheduleError, GetScheduleOutput};
use aws_sdk_scheduler::operation::update_schedule::UpdateScheduleError;
use aws_sdk_scheduler::primitives::DateTime;
use aws_sdk_scheduler::types::ScheduleState;
use aws_sdk_scheduler::{Client, Config};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::config;
use crate::market::Timestamp;
use crate::tick::Grid;

mod definition;
mod relays;
mod subject;

pub use subject::Named;
use subject::Subject;

/// Longest that one call takes, retries included: the api answers within 5 s even if EventBridge
/// does not.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest that one attempt takes.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1_400);
/// Schedules in one page, EventBridge's maximum.
const PAGE_SIZE: i32 = 100;

/// The EventBridge schedules of one group.
#[derive(Clone, Debug)]
pub struct Schedules {
    /// Created at the first call: loading credentials and certificates would delay every start of a
    /// function.
    client: Arc<OnceCell<Client>>,
    config: config::ScheduleSettings,
}

/// A schedule as it appears in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Whether the list alone shows that it is disabled, or invokes another target.
    pub differs: bool,
}

/// EventBridge did not do what was requested. The reason is for logs, not for answers.
#[derive(Clone, Debug, thiserror::Error)]
#[error("EventBridge Scheduler did not {action}")]
pub struct ScheduleError {
    /// The requested action.
    pub action: &'static str,
    /// EventBridge's answer, or why the request failed.
    pub reason: String,
}

impl ScheduleError {
    fn from_sdk<E, R>(action: &'static str, error: &SdkError<E, R>) -> Self
    where
        SdkError<E, R>: std::error::Error,
    {
        Self {
            action,
            reason: DisplayErrorContext(error).to_string(),
        }
    }
}

impl From<BuildError> for ScheduleError {
    fn from(error: BuildError) -> Self {
        Self {
            action: "take the schedule",
            reason: error.to_string(),
        }
    }
}

impl Schedules {
    /// Reads region, credentials and endpoint as every AWS SDK does, at the first call.
    #[must_use]
    pub fn from_config(config: &config::ScheduleSettings) -> Self {
        Self {
            client: Arc::default(),
            config: config.clone(),
        }
    }

    /// Uses an existing SDK configuration.
    #[must_use]
    pub fn new(sdk: &SdkConfig, config: &config::ScheduleSettings) -> Self {
        Self {
            client: Arc::new(OnceCell::from(client(sdk))),
            config: config.clone(),
        }
    }

    async fn client(&self) -> &Client {
        let sdk = aws_config::defaults(BehaviorVersion::latest()).http_client(aws_http::client());
        // Boxed, because the future is large and would be part of every call's future.
        self.client
            .get_or_init(async || client(&Box::pin(sdk.load()).await))
            .await
    }

    /// Creates the schedule of a job, first firing at `start_at`. An existing schedule counts as
    /// success.
    ///
    /// # Errors
    /// When EventBridge is unavailable or refuses the request.
    pub async fn create(
        &self,
        job_id: Uuid,
        interval_seconds: u32,
        start_at: Timestamp,
    ) -> Result<(), ScheduleError> {
        self.create_for(&Subject::job(job_id, interval_seconds), start_at)
            .await?;
        Ok(())
    }

    /// Creates the schedule of a job, first firing at `start_at`. The definition of an existing
    /// schedule is replaced.
    ///
    /// # Errors
    /// When EventBridge is unavailable or refuses the request.
    pub async fn create_or_replace(
        &self,
        job_id: Uuid,
        interval_seconds: u32,
        start_at: Timestamp,
    ) -> Result<(), ScheduleError> {
        let subject = Subject::job(job_id, interval_seconds);
        if !self.create_for(&subject, start_at).await? {
            self.update_for(&subject, start_at).await?;
        }
        Ok(())
    }

    /// Creates a schedule; returns false if there is one already.
    async fn create_for(
        &self,
        subject: &Subject,
        start_at: Timestamp,
    ) -> Result<bool, ScheduleError> {
        let created = self
            .client()
            .await
            .create_schedule()
            .name(subject.name())
            .group_name(&self.config.group)
            .schedule_expression(subject.expression())
            .start_date(DateTime::from_secs(start_at.timestamp()))
            .flexible_time_window(definition::window()?)
            .target(definition::target(&self.config, subject)?)
            .send()
            .await;

        match created {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(CreateScheduleError::is_conflict_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(ScheduleError::from_sdk("create the schedule", &error)),
        }
    }

    /// Deletes the schedule of a job. A missing schedule counts as success.
    ///
    /// # Errors
    /// When EventBridge is unavailable or refuses the request.
    pub async fn delete(&self, job_id: Uuid) -> Result<(), ScheduleError> {
        self.delete_named(Named::Job(job_id)).await
    }

    async fn delete_named(&self, named: Named) -> Result<(), ScheduleError> {
        let deleted = self
            .client()
            .await
            .delete_schedule()
            .name(named.name())
            .group_name(&self.config.group)
            .send()
            .await;

        match deleted {
            Ok(_) => Ok(()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DeleteScheduleError::is_resource_not_found_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(ScheduleError::from_sdk("delete the schedule", &error)),
        }
    }

    /// The members in which a job's schedule differs at `now` from what [`Self::create`] creates,
    /// by EventBridge's names. `None` if there is no schedule.
    ///
    /// # Errors
    /// When EventBridge is unavailable or refuses the request.
    pub async fn differences(
        &self,
        job_id: Uuid,
        interval_seconds: u32,
        grid: &Grid,
        now: Timestamp,
    ) -> Result<Option<Vec<&'static str>>, ScheduleError> {
        self.differences_of(&Subject::job(job_id, interval_seconds), grid, now)
            .await
    }

    async fn differences_of(
        &self,
        subject: &Subject,
        grid: &Grid,
        now: Timestamp,
    ) -> Result<Option<Vec<&'static str>>, ScheduleError> {
        let found = self.get(subject).await?;
        let differences =
            found.map(|found| definition::differences(&self.config, subject, grid, now, &found));
        Ok(differences.transpose()?)
    }

    /// A schedule as it is; `None` if there is none.
    async fn get(&self, subject: &Subject) -> Result<Option<GetScheduleOutput>, ScheduleError> {
        let schedule = self
            .client()
            .await
            .get_schedule()
            .name(subject.name())
            .group_name(&self.config.group);

        match schedule.send().await {
            Ok(found) => Ok(Some(found)),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(GetScheduleError::is_resource_not_found_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(ScheduleError::from_sdk("show the schedule", &error)),
        }
    }

    /// Replaces the definition of a job's schedule, next firing at `start_at`. A description and a
    /// queue for undelivered firings stay. Returns whether the schedule exists.
    ///
    /// # Errors
    /// When EventBridge is unavailable or refuses the request.
    pub async fn update(
        &self,
        job_id: Uuid,
        interval_seconds: u32,
        start_at: Timestamp,
    ) -> Result<bool, ScheduleError> {
        self.update_for(&Subject::job(job_id, interval_seconds), start_at)
            .await
    }

    async fn update_for(
        &self,
        subject: &Subject,
        start_at: Timestamp,
    ) -> Result<bool, ScheduleError> {
        // EventBridge replaces the whole definition, also what is the operator's choice.
        let Some(found) = Box::pin(self.get(subject)).await? else {
            return Ok(false);
        };
        let mut target = definition::target(&self.config, subject)?;
        target.dead_letter_config = found.target.and_then(|target| target.dead_letter_config);

        let updated = self
            .client()
            .await
            .update_schedule()
            .name(subject.name())
            .group_name(&self.config.group)
            .schedule_expression(subject.expression())
            .start_date(DateTime::from_secs(start_at.timestamp()))
            .flexible_time_window(definition::window()?)
            .target(target)
            .set_description(found.description)
            // EventBridge's default, stated because some substitutes for it do not know that
            // default.
            .state(ScheduleState::Enabled)
            .send()
            .await;

        match updated {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(UpdateScheduleError::is_resource_not_found_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(ScheduleError::from_sdk("update the schedule", &error)),
        }
    }

    /// Replaces the definition of a job's schedule, next firing at `start_at`, or creates it if it
    /// is missing.
    ///
    /// # Errors
    /// When EventBridge is unavailable or refuses the request.
    pub async fn put(
        &self,
        job_id: Uuid,
        interval_seconds: u32,
        start_at: Timestamp,
    ) -> Result<(), ScheduleError> {
        if self.update(job_id, interval_seconds, start_at).await? {
            return Ok(());
        }
        self.create(job_id, interval_seconds, start_at).await
    }

    /// All schedules of the group. Those whose name [`Named`] does not read do not belong to us.
    ///
    /// # Errors
    /// When EventBridge is unavailable or refuses the request.
    pub async fn list(&self) -> Result<Vec<Listed>, ScheduleError> {
        let pages = self
            .client()
            .await
            .list_schedules()
            .group_name(&self.config.group)
            .into_paginator();
        let schedules: Vec<_> = pages
            .page_size(PAGE_SIZE)
            .items()
            .send()
            .collect::<Result<_, _>>()
            .await
            .map_err(|error| ScheduleError::from_sdk("list the schedules", &error))?;

        let listed = schedules.into_iter().filter_map(|schedule| {
            let differs = definition::visibly_differs(&self.config, &schedule);
            Some(Listed {
                name: schedule.name?,
                differs,
            })
        });
        Ok(listed.collect())
    }
}

fn client(sdk: &SdkConfig) -> Client {
    let timeouts = TimeoutConfig::builder()
        .operation_timeout(CALL_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();

    let config = Config::from(sdk)
        .to_builder()
        .http_client(sdk.http_client().unwrap_or_else(aws_http::client))
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(2))
        .build();

    Client::from_conf(config)
}
