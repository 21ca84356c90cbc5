//! The payload with which a target is invoked.

use axum::body::Bytes;
use uuid::Uuid;

use super::Account;
use super::book::Firing;

/// Returns the schedule's input with its context attributes replaced, or EventBridge's own
/// notification if there is no input.
///
/// When Lambda retries, it passes the same payload to the function. The attempt number counts the
/// scheduler's own deliveries, so it is always 1.
pub(super) fn payload(firing: &Firing, account: &Account) -> Bytes {
    let scheduled_time = firing.scheduled.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let schedule_arn = account.schedule_arn(&firing.key);
    let execution = Uuid::new_v4();

    let Some(input) = &firing.target.input else {
        return notification(&scheduled_time, &schedule_arn, account, execution);
    };

    let text = input
        .replace("<aws.scheduler.scheduled-time>", &scheduled_time)
        .replace("<aws.scheduler.schedule-arn>", &schedule_arn)
        .replace(
            "<aws.scheduler.execution-id>",
            &format!("{:016x}", execution.as_u64_pair().0),
        )
        .replace("<aws.scheduler.attempt-number>", "1");
    Bytes::from(text)
}

fn notification(time: &str, schedule_arn: &str, account: &Account, id: Uuid) -> Bytes {
    let event = serde_json::json!({
        "version": "0",
        "id": id,
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": account.id,
        "time": time,
        "region": account.region,
        "resources": [schedule_arn],
        "detail": "{}",
    });
    Bytes::from(event.to_string())
}
