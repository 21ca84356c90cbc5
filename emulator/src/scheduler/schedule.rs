//! A schedule in EventBridge Scheduler's model, and what the emulator stores of it.

use chrono::{SubsecRound, TimeDelta};
use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::expression::{Expression, ExpressionError, Timing};

/// The group of schedules that do not name one.
pub(crate) const DEFAULT_GROUP: &str = "default";

/// A single moment comes if it was at most this long ago when the schedule was activated, because
/// EventBridge may be late by as much.
const LATENESS: TimeDelta = TimeDelta::minutes(1);

/// What identifies a schedule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Key {
    #[serde(rename = "GroupName")]
    pub(crate) group: String,
    pub(crate) name: String,
}

/// Everything that a caller sets. Omitted members have AWS's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Definition {
    pub(crate) schedule_expression: String,
    #[serde(default = "utc")]
    pub(crate) schedule_expression_timezone: String,
    #[serde(
        default,
        with = "super::epoch_seconds::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) start_date: Option<Timestamp>,
    #[serde(
        default,
        with = "super::epoch_seconds::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) end_date: Option<Timestamp>,
    #[serde(default)]
    pub(crate) state: State,
    #[serde(default)]
    pub(crate) action_after_completion: ActionAfterCompletion,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) flexible_time_window: FlexibleTimeWindow,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kms_key_arn: Option<String>,
    pub(crate) target: ScheduleTarget,
}

fn utc() -> String {
    "UTC".to_owned()
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum State {
    #[default]
    Enabled,
    Disabled,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum ActionAfterCompletion {
    #[default]
    None,
    Delete,
}

/// The emulator fires at the start of the window, which every window contains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FlexibleTimeWindow {
    pub(crate) mode: FlexibleTimeWindowMode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) maximum_window_in_minutes: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum FlexibleTimeWindowMode {
    Off,
    Flexible,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ScheduleTarget {
    pub(crate) arn: String,
    pub(crate) role_arn: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) input: Option<String>,
    /// Applies to the delivery to Lambda's queue. That queue is part of the emulator and accepts
    /// every firing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retry_policy: Option<RetryPolicy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dead_letter_config: Option<DeadLetterConfig>,
}

impl ScheduleTarget {
    /// Returns `NAME` of `arn:aws:lambda:REGION:ACCOUNT:function:NAME`, which a qualifier may
    /// follow.
    pub(crate) fn function(&self) -> &str {
        self.arn.split(':').nth(6).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RetryPolicy {
    #[serde(default = "one_day")]
    pub(crate) maximum_event_age_in_seconds: u32,
    #[serde(default = "most_attempts")]
    pub(crate) maximum_retry_attempts: u32,
}

impl RetryPolicy {
    /// The policy with this number of attempts and the default age.
    pub(crate) fn of_attempts(maximum_retry_attempts: u32) -> Self {
        Self {
            maximum_event_age_in_seconds: one_day(),
            maximum_retry_attempts,
        }
    }
}

fn one_day() -> u32 {
    86_400
}

fn most_attempts() -> u32 {
    185
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeadLetterConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) arn: Option<String>,
}

/// A schedule as its file contains it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Schedule {
    #[serde(flatten)]
    pub(crate) key: Key,
    #[serde(flatten)]
    pub(crate) definition: Definition,
    #[serde(with = "super::epoch_seconds")]
    pub(crate) creation_date: Timestamp,
    #[serde(with = "super::epoch_seconds")]
    pub(crate) last_modification_date: Timestamp,
    /// Where a rate without a start date begins, and the moment after which a single moment must
    /// lie: the creation, the last change of the timing, or the last time it was enabled.
    #[serde(with = "super::epoch_seconds")]
    pub(crate) activated: Timestamp,
    /// The newest firing that was answered without error. Older ones are never delivered again.
    #[serde(
        default,
        with = "super::epoch_seconds::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) answered: Option<Timestamp>,
    /// The token of its creation, which identifies a repeated request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_token: Option<String>,
}

impl Schedule {
    pub(crate) fn new(
        key: Key,
        definition: Definition,
        client_token: Option<String>,
        now: Timestamp,
    ) -> Self {
        Self {
            key,
            definition,
            creation_date: now,
            last_modification_date: now,
            activated: now,
            answered: None,
            client_token,
        }
    }

    /// Returns the schedule's instants. They are whole seconds, as in
    /// `<aws.scheduler.scheduled-time>`.
    pub(crate) fn timing(&self) -> Result<Timing, ExpressionError> {
        let Definition {
            schedule_expression,
            schedule_expression_timezone,
            ..
        } = &self.definition;

        Ok(Timing {
            expression: Expression::parse(schedule_expression, schedule_expression_timezone)?,
            anchor: self
                .definition
                .start_date
                .unwrap_or(self.activated)
                .trunc_subsecs(0),
            earliest: self.activated - LATENESS,
            end: self.definition.end_date,
        })
    }
}
