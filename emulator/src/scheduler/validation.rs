//! The constraints of EventBridge Scheduler's model on names and definitions.

use chrono::TimeDelta;

use super::clock::Timestamp;
use super::expression::Expression;
use super::refusal::Refusal;
use super::schedule::{
    Definition, FlexibleTimeWindow, FlexibleTimeWindowMode, RetryPolicy, ScheduleTarget,
};

/// Age of the oldest start date that is accepted.
const OLDEST_START: TimeDelta = TimeDelta::minutes(5);
/// Largest input of a target, in bytes.
const LARGEST_INPUT: usize = 256 * 1024;

/// Collects the faults of a request, so that the answer names them all.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<String>);

impl Faults {
    pub(super) fn require(&mut self, holds: bool, member: &str, constraint: &str) {
        if !holds {
            self.0.push(format!(
                "Value at '{member}' failed to satisfy constraint: Member must {constraint}"
            ));
        }
    }

    fn length(&mut self, text: &str, longest: usize, member: &str) {
        let fits = (1..=longest).contains(&text.chars().count());
        self.require(
            fits,
            member,
            &format!("have length between 1 and {longest}"),
        );
    }

    pub(super) fn name(&mut self, text: &str, member: &str) {
        self.length(text, 64, member);

        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let satisfies = text.bytes().all(allowed);
        self.require(
            satisfies,
            member,
            "satisfy regular expression pattern: ^[0-9a-zA-Z-_.]+$",
        );
    }

    pub(super) fn client_token(&mut self, text: &str) {
        self.length(text, 64, "clientToken");

        let satisfies = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        self.require(
            satisfies,
            "clientToken",
            "satisfy regular expression pattern: ^[a-zA-Z0-9-_]+$",
        );
    }

    /// Returns all faults as one refusal, if there are any.
    pub(super) fn into_result(self) -> Result<(), Refusal> {
        match self.0.len() {
            0 => Ok(()),
            1 => Err(Refusal::Validation(format!(
                "1 validation error detected: {}",
                self.0.concat()
            ))),
            count => Err(Refusal::Validation(format!(
                "{count} validation errors detected: {}",
                self.0.join("; ")
            ))),
        }
    }
}

/// Checks a definition that was requested at `now`.
pub(super) fn check(
    definition: &Definition,
    now: Timestamp,
    mut faults: Faults,
) -> Result<(), Refusal> {
    faults.length(&definition.schedule_expression, 256, "scheduleExpression");
    faults.length(
        &definition.schedule_expression_timezone,
        50,
        "scheduleExpressionTimezone",
    );

    if let Some(description) = &definition.description {
        let fits = description.chars().count() <= 512;
        faults.require(fits, "description", "have length less than or equal to 512");
    }

    check_window(&definition.flexible_time_window, &mut faults);
    check_target(&definition.target, &mut faults);
    faults.into_result()?;

    Expression::parse(
        &definition.schedule_expression,
        &definition.schedule_expression_timezone,
    )
    .map_err(|error| Refusal::Validation(error.to_string()))?;

    check_dates(definition, now)
}

fn check_window(window: &FlexibleTimeWindow, faults: &mut Faults) {
    let member = "flexibleTimeWindow.maximumWindowInMinutes";
    let fits = match (window.mode, window.maximum_window_in_minutes) {
        (FlexibleTimeWindowMode::Off, minutes) => minutes.is_none(),
        (FlexibleTimeWindowMode::Flexible, minutes) => {
            minutes.is_some_and(|minutes| (1..=1_440).contains(&minutes))
        }
    };

    faults.require(
        fits,
        member,
        "be between 1 and 1440 with mode FLEXIBLE, and absent with mode OFF",
    );
}

fn check_target(target: &ScheduleTarget, faults: &mut Faults) {
    faults.length(&target.arn, 1_600, "target.arn");

    let lambda =
        target.arn.starts_with("arn:aws") && target.arn.split(':').nth(2) == Some("lambda");
    let function =
        lambda && target.arn.split(':').nth(5) == Some("function") && !target.function().is_empty();
    faults.require(
        function,
        "target.arn",
        "be the ARN of a Lambda function, the one kind of target here",
    );

    faults.length(&target.role_arn, 1_600, "target.roleArn");
    let pattern = "satisfy regular expression pattern: ^arn:aws(-[a-z]+)?:iam::\\d{12}:role\\/?[a-zA-Z_0-9+=,.@\\-_/]+$";
    faults.require(is_role_arn(&target.role_arn), "target.roleArn", pattern);

    if let Some(input) = &target.input {
        let fits = (1..=LARGEST_INPUT).contains(&input.len());
        faults.require(
            fits,
            "target.input",
            &format!("have length between 1 and {LARGEST_INPUT}"),
        );
        let json = serde_json::from_str::<serde::de::IgnoredAny>(input).is_ok();
        faults.require(json, "target.input", "be well-formed JSON");
    }

    if let Some(RetryPolicy {
        maximum_event_age_in_seconds: age,
        maximum_retry_attempts: attempts,
    }) = target.retry_policy
    {
        let member = "target.retryPolicy.maximumEventAgeInSeconds";
        faults.require(
            (60..=86_400).contains(&age),
            member,
            "be between 60 and 86400",
        );
        let member = "target.retryPolicy.maximumRetryAttempts";
        faults.require(attempts <= 185, member, "be between 0 and 185");
    }
}

fn is_role_arn(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [prefix, partition, service, region, account, resource] = parts[..] else {
        return false;
    };

    let partition = partition.strip_prefix("aws").is_some_and(|rest| {
        rest.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    });
    let account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-/".contains(&byte);
    let role = resource
        .strip_prefix("role")
        .is_some_and(|path| !path.is_empty() && path.bytes().all(allowed));

    prefix == "arn" && partition && service == "iam" && region.is_empty() && account && role
}

fn check_dates(definition: &Definition, now: Timestamp) -> Result<(), Refusal> {
    let refuse = |text: &str| Err(Refusal::Validation(text.to_owned()));

    if definition
        .start_date
        .is_some_and(|start| start < now - OLDEST_START)
    {
        return refuse("The StartDate you specify cannot be earlier than 5 minutes ago.");
    }

    if definition.end_date.is_some_and(|end| end <= now) {
        return refuse("The EndDate you specify must be in the future.");
    }

    match (definition.start_date, definition.end_date) {
        (Some(start), Some(end)) if start >= end => {
            refuse("The StartDate must come before the EndDate.")
        }
        _ => Ok(()),
    }
}
