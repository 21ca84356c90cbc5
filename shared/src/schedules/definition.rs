//! The definition of a schedule, and the comparison of an existing schedule with it.

use aws_sdk_scheduler::error::BuildError;
use aws_sdk_scheduler::operation::get_schedule::GetScheduleOutput;
use aws_sdk_scheduler::primitives::DateTime;
use aws_sdk_scheduler::types::{
    ActionAfterCompletion, FlexibleTimeWindow, FlexibleTimeWindowMode, ScheduleState,
    ScheduleSummary, Target,
};

use super::subject::Subject;
use crate::config;
use crate::market::Timestamp;
use crate::tick::Grid;

/// The time zone of all schedules.
const TIME_ZONE: &str = "UTC";

/// The function that the schedule invokes, and its input.
pub(super) fn target(
    config: &config::ScheduleSettings,
    subject: &Subject,
) -> Result<Target, BuildError> {
    Target::builder()
        .arn(&config.target_arn)
        .role_arn(&config.role_arn)
        .input(subject.input())
        .retry_policy(subject.delivery())
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

/// The members of a schedule that differ at `now` from those that it must have. A description and a
/// queue for undelivered firings are the operator's choice, and survive an update.
pub(super) fn differences(
    config: &config::ScheduleSettings,
    subject: &Subject,
    grid: &Grid,
    now: Timestamp,
    found: &GetScheduleOutput,
) -> Result<Vec<&'static str>, BuildError> {
    let (wanted, has) = (target(config, subject)?, found.target.as_ref());
    let window = Some(window()?);

    let members = [
        ("State", found.state == Some(ScheduleState::Enabled)),
        (
            "ScheduleExpression",
            found.schedule_expression == Some(subject.expression()),
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
