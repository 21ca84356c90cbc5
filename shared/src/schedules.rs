//! The schedules of polling jobs at EventBridge Scheduler: one per job, named by the job's id.
//!
//! A schedule carries nothing but that id; what is polled stands in Postgres. The endpoint is AWS's, or that of
//! `AWS_ENDPOINT_URL_SCHEDULER`.

use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_scheduler::error::{BuildError, DisplayErrorContext, SdkError};
use aws_sdk_scheduler::operation::create_schedule::CreateScheduleError;
use aws_sdk_scheduler::operation::delete_schedule::DeleteScheduleError;
use aws_sdk_scheduler::primitives::DateTime;
use aws_sdk_scheduler::types::{FlexibleTimeWindow, FlexibleTimeWindowMode, RetryPolicy, Target};
use aws_sdk_scheduler::{Client, Config};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::config;
use crate::market::Timestamp;
use crate::tick::{self, MINUTE_SECONDS};

/// Longest that one call takes, retries included: the api answers within 5 s whatever EventBridge does.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest that one attempt takes.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1_400);
/// Schedules asked for at once; EventBridge gives no more.
const PAGE_SIZE: i32 = 100;
/// How often EventBridge tries to hand a firing over. What the poller makes of it is Lambda's to retry.
const DELIVERY_ATTEMPTS: i32 = 20;
/// Bounds in seconds on how old a firing may get while it is not handed over; in between it is the interval.
const DELIVERY_AGE: (u32, u32) = (120, 3_600);

/// What the poller is invoked with; EventBridge fills in the time.
fn input(job_id: Uuid) -> String {
    format!(r#"{{"job_id":"{job_id}","scheduled_time":"<aws.scheduler.scheduled-time>"}}"#)
}

/// How often a job's schedule fires: at its interval, or each minute where a relay serves the ticks in between.
fn expression(interval_seconds: u32) -> String {
    match interval_seconds / MINUTE_SECONDS {
        minutes if minutes > 1 && !tick::is_relayed(interval_seconds) => format!("rate({minutes} minutes)"),
        _ => "rate(1 minute)".to_owned(),
    }
}

/// EventBridge's schedules of one group.
#[derive(Clone, Debug)]
pub struct Schedules {
    /// Made at the first call: loading credentials and certificates would delay every start of a function.
    client: Arc<OnceCell<Client>>,
    config: config::Schedules,
}

/// EventBridge did not do what was asked. The reason is for logs, not for answers.
#[derive(Clone, Debug, thiserror::Error)]
#[error("EventBridge Scheduler did not {action}")]
pub struct ScheduleError {
    /// What was asked.
    pub action: &'static str,
    /// What it answered, or why it could not be asked.
    pub reason: String,
}

impl ScheduleError {
    fn from_sdk<E, R>(action: &'static str, error: &SdkError<E, R>) -> Self
    where
        SdkError<E, R>: std::error::Error,
    {
        Self { action, reason: DisplayErrorContext(error).to_string() }
    }
}

impl From<BuildError> for ScheduleError {
    fn from(error: BuildError) -> Self {
        Self { action: "take the schedule", reason: error.to_string() }
    }
}

impl Schedules {
    /// Reads region, credentials and endpoint as every AWS SDK does, at the first call.
    #[must_use]
    pub fn from_config(config: &config::Schedules) -> Self {
        Self { client: Arc::default(), config: config.clone() }
    }

    /// With an SDK configuration at hand.
    #[must_use]
    pub fn new(sdk: &SdkConfig, config: &config::Schedules) -> Self {
        Self { client: Arc::new(OnceCell::from(client(sdk))), config: config.clone() }
    }

    async fn client(&self) -> &Client {
        let sdk = aws_config::defaults(BehaviorVersion::latest()).http_client(aws_http::client());
        // Boxed, because it is large and every call would carry it.
        self.client.get_or_init(async || client(&Box::pin(sdk.load()).await)).await
    }

    /// Creates the schedule of a job, first firing at `start_at`. One that is there already is as good.
    ///
    /// # Errors
    /// When EventBridge is away or refuses.
    pub async fn create(
        &self,
        job_id: Uuid,
        interval_seconds: u32,
        start_at: Timestamp,
    ) -> Result<(), ScheduleError> {
        let target = Target::builder()
            .arn(&self.config.target_arn)
            .role_arn(&self.config.role_arn)
            .input(input(job_id))
            .retry_policy(delivery(interval_seconds))
            .build()?;
        let created = self
            .client()
            .await
            .create_schedule()
            .name(job_id.to_string())
            .group_name(&self.config.group)
            .schedule_expression(expression(interval_seconds))
            .start_date(DateTime::from_secs(start_at.timestamp()))
            .flexible_time_window(FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build()?)
            .target(target)
            .send()
            .await;
        match created {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(CreateScheduleError::is_conflict_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(ScheduleError::from_sdk("create the schedule", &error)),
        }
    }

    /// Deletes the schedule of a job. One that is not there is as good.
    ///
    /// # Errors
    /// When EventBridge is away or refuses.
    pub async fn delete(&self, job_id: Uuid) -> Result<(), ScheduleError> {
        let deleted = self
            .client()
            .await
            .delete_schedule()
            .name(job_id.to_string())
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

    /// The names of all schedules of the group. Those that are no job's id are not ours.
    ///
    /// # Errors
    /// When EventBridge is away or refuses.
    pub async fn list(&self) -> Result<Vec<String>, ScheduleError> {
        let pages = self.client().await.list_schedules().group_name(&self.config.group).into_paginator();
        let schedules: Vec<_> = pages
            .page_size(PAGE_SIZE)
            .items()
            .send()
            .collect::<Result<_, _>>()
            .await
            .map_err(|error| ScheduleError::from_sdk("list the schedules", &error))?;
        Ok(schedules.into_iter().filter_map(|schedule| schedule.name).collect())
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

fn delivery(interval_seconds: u32) -> RetryPolicy {
    let (least, most) = DELIVERY_AGE;
    let age = i32::try_from(interval_seconds.clamp(least, most)).unwrap_or(i32::MAX);
    RetryPolicy::builder().maximum_event_age_in_seconds(age).maximum_retry_attempts(DELIVERY_ATTEMPTS).build()
}

#[cfg(test)]
mod tests;
