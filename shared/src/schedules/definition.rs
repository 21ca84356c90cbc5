//! The definition of a job's schedule, and the comparison of an existing schedule with it.

use aws_sdk_scheduler::error::BuildError;
use aws_sdk_scheduler::operation::get_schedule::GetScheduleOutput;
use aws_sdk_scheduler::primitives::DateTime;
use aws_sdk_scheduler::types::{
    ActionAfterCompletion, FlexibleTimeWindow, FlexibleTimeWindowMode, RetryPolicy, ScheduleState,
    ScheduleSummary, Target,
};
use uuid::Uuid;

use crate::config;
use crate::market::Timestamp;
use crate::tick::{self, Grid, MINUTE_SECONDS};

/// The time zone of all schedules.
const TIME_ZONE: &str = "UTC";
/// How often EventBridge tries to deliver a firing. If the poller itself fails, Lambda retries.
const DELIVERY_ATTEMPTS: i32 = 20;
/// Bounds, in seconds, of a firing's age until it is delivered; between them the interval applies.
const DELIVERY_AGE: (u32, u32) = (120, 3_600);

/// The poller's input; EventBridge fills in the time.
fn input(job_id: Uuid) -> String {
    format!(r#"{{"job_id":"{job_id}","scheduled_time":"<aws.scheduler.scheduled-time>"}}"#)
}

/// How often a job's schedule fires: at its interval, or each minute if a relay serves the ticks in
/// between.
pub(super) fn expression(interval_seconds: u32) -> String {
    match interval_seconds / MINUTE_SECONDS {
        minutes if minutes > 1 && !tick::is_relayed(interval_seconds) => {
            format!("rate({minutes} minutes)")
        }
        _ => "rate(1 minute)".to_owned(),
    }
}

fn delivery(interval_seconds: u32) -> RetryPolicy {
    let (least, most) = DELIVERY_AGE;
    let age = i32::try_from(interval_seconds.clamp(least, most)).unwrap_or(i32::MAX);
    RetryPolicy::builder()
        .maximum_event_age_in_seconds(age)
        .maximum_retry_attempts(DELIVERY_ATTEMPTS)
        .build()
}

/// The function that the schedule invokes, and its input.
pub(super) fn target(
    config: &config::ScheduleSettings,
    job_id: Uuid,
    interval_seconds: u32,
) -> Result<Target, BuildError> {
    Target::builder()
        .arn(&config.target_arn)
        .role_arn(&config.role_arn)
        .input(input(job_id))
        .retry_policy(delivery(interval_seconds))
        .build()
}

/// The schedule fires exactly at its instants.
pub(super) fn window() -> Result<FlexibleTimeWindow, BuildError> {
    FlexibleTimeWindow::builder()
        .mode(FlexibleTimeWindowMode::Off)
        .build()
}

/// Whether the list shows that a schedule is disabled or invokes another target. It does not show
/// most members.
pub(super) fn visibly_differs(config: &config::ScheduleSettings, listed: &ScheduleSummary) -> bool {
    let state = listed
        .state
        .as_ref()
        .is_some_and(|state| *state != ScheduleState::Enabled);
    let target = listed
        .target
        .as_ref()
        .is_some_and(|target| target.arn != config.target_arn);
    state || target
}

/// The members of a schedule that differ from the job's at `now`. A description and a queue for
/// undelivered firings are the operator's choice.
pub(super) fn differences(
    config: &config::ScheduleSettings,
    job_id: Uuid,
    interval_seconds: u32,
    grid: &Grid,
    now: Timestamp,
    found: &GetScheduleOutput,
) -> Result<Vec<&'static str>, BuildError> {
    let (wanted, has) = (
        target(config, job_id, interval_seconds)?,
        found.target.as_ref(),
    );
    let window = Some(window()?);

    let members = [
        ("State", found.state == Some(ScheduleState::Enabled)),
        (
            "ScheduleExpression",
            found.schedule_expression == Some(expression(interval_seconds)),
        ),
        (
            "ScheduleExpressionTimezone",
            found
                .schedule_expression_timezone
                .as_deref()
                .is_none_or(|zone| zone == TIME_ZONE),
        ),
        ("FlexibleTimeWindow", found.flexible_time_window == window),
        (
            "StartDate",
            found
                .start_date
                .as_ref()
                .is_some_and(|start| keeps_grid(start, grid, now)),
        ),
        ("EndDate", found.end_date.is_none()),
        (
            "ActionAfterCompletion",
            found
                .action_after_completion
                .as_ref()
                .is_none_or(|action| *action == ActionAfterCompletion::None),
        ),
        ("KmsKeyArn", found.kms_key_arn.is_none()),
        ("Target.Arn", has.is_some_and(|has| has.arn == wanted.arn)),
        (
            "Target.RoleArn",
            has.is_some_and(|has| has.role_arn == wanted.role_arn),
        ),
        (
            "Target.Input",
            has.is_some_and(|has| has.input == wanted.input),
        ),
        (
            "Target.RetryPolicy",
            has.is_some_and(|has| has.retry_policy == wanted.retry_policy),
        ),
    ];

    Ok(members
        .into_iter()
        .filter(|(_, same)| !same)
        .map(|(name, _)| name)
        .collect())
}

/// Whether a schedule with this start fires at the instants of the grid, from the next one on.
fn keeps_grid(start: &DateTime, grid: &Grid, now: Timestamp) -> bool {
    let firings = grid.firings();
    let start = Timestamp::from_timestamp(start.secs(), start.subsec_nanos());
    start.is_some_and(|start| firings.next_from(start) == start && start <= firings.next_from(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_that_are_no_whole_minutes_fire_each_minute() {
        for interval in [1, 59, 60, 61, 90, 86_399] {
            assert_eq!(expression(interval), "rate(1 minute)", "{interval}");
        }
        assert_eq!(expression(86_400), "rate(1440 minutes)");
    }
}
