//! The product's clients of EventBridge Scheduler and Lambda, for stubs of them on loopback.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_scheduler::config::{Credentials, SharedCredentialsProvider};
use shared::config::{InvocationSettings, ScheduleSettings};
use shared::invocations::Invocations;
use shared::schedules::Schedules;

/// The group of the schedules.
pub const GROUP: &str = "jobs";
/// The ARN of the function that they invoke.
pub const TARGET_ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:poller";

/// The schedules of [`GROUP`] in the scheduler at the URL `endpoint`.
#[must_use]
pub fn schedules_at(endpoint: &str) -> Schedules {
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials())
        .endpoint_url(endpoint)
        .build();

    let settings = ScheduleSettings {
        group: GROUP.to_owned(),
        target_arn: TARGET_ARN.to_owned(),
        role_arn: "arn:aws:iam::000000000000:role/scheduler".to_owned(),
    };
    Schedules::new(&sdk, &settings)
}

/// The poller, invoked through Lambda's API at the URL `endpoint`.
///
/// # Panics
/// When no HTTP client can be made.
#[must_use]
pub fn poller_at(endpoint: &str) -> Invocations {
    let settings = InvocationSettings {
        function_arn: TARGET_ARN.to_owned(),
        endpoint: Some(endpoint.to_owned()),
    };
    Invocations::new(&settings, credentials()).expect("an HTTP client")
}

fn credentials() -> SharedCredentialsProvider {
    let credentials = Credentials::new("x", "x", None, None, "test");
    SharedCredentialsProvider::new(credentials)
}
