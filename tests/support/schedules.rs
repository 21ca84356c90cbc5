//! The product's client of EventBridge Scheduler, for stubs of it on loopback.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_scheduler::config::{Credentials, SharedCredentialsProvider};
use shared::config::ScheduleSettings;
use shared::schedules::Schedules;

/// The group of the schedules.
pub const GROUP: &str = "jobs";
/// The ARN of the function that they invoke.
pub const TARGET_ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:poller";

/// The schedules of [`GROUP`] in the scheduler at the URL `endpoint`.
#[must_use]
pub fn schedules_at(endpoint: &str) -> Schedules {
    let credentials = Credentials::new("x", "x", None, None, "test");
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .build();

    let settings = ScheduleSettings {
        group: GROUP.to_owned(),
        target_arn: TARGET_ARN.to_owned(),
        role_arn: "arn:aws:iam::000000000000:role/scheduler".to_owned(),
    };
    Schedules::new(&sdk, &settings)
}
