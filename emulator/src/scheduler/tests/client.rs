//! AWS's own client of a scheduler under test.

use aws_sdk_scheduler::Client;
use aws_sdk_scheduler::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_scheduler::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_scheduler::operation::create_schedule::builders::CreateScheduleFluentBuilder;
use aws_sdk_scheduler::types::{
    FlexibleTimeWindow as Window, FlexibleTimeWindowMode as Mode, Target as SdkTarget,
};

use super::*;
use crate::visitors::AllowedHosts;

/// A scheduler that listens on a loopback port, and a client of it.
pub(super) async fn serve(home: &Path) -> Client {
    serve_at(home).await.0
}

pub(super) async fn serve_at(home: &Path) -> (Client, String) {
    let (clock, invoker) = (TestClock::at("2026-01-01T00:00:00Z"), FakeInvoker::with([]));
    let settings = SchedulerSettings {
        groups: vec!["polling".to_owned()],
        ..SchedulerSettings::new(home.to_owned())
    };
    let scheduler = Scheduler::open_with_clock(settings, invoker, clock).unwrap();

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let visitors = AllowedHosts::default().at(listener.local_addr().unwrap());
    tokio::spawn(async move {
        axum::serve(listener, scheduler.router(visitors))
            .await
            .unwrap();
    });

    let config = aws_sdk_scheduler::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_http::client())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(&endpoint)
        .build();

    (Client::from_conf(config), endpoint)
}

pub(super) fn target() -> SdkTarget {
    SdkTarget::builder()
        .arn("arn:aws:lambda:us-east-1:000000000000:function:poller")
        .role_arn("arn:aws:iam::000000000000:role/scheduler")
        .input(r#"{"job_id":"1"}"#)
        .build()
        .unwrap()
}

pub(super) fn creation(client: &Client, name: &str) -> CreateScheduleFluentBuilder {
    client
        .create_schedule()
        .name(name)
        .group_name("polling")
        .schedule_expression("rate(5 minutes)")
        .flexible_time_window(Window::builder().mode(Mode::Off).build().unwrap())
        .target(target())
}

pub(super) fn code<E: aws_sdk_scheduler::error::ProvideErrorMetadata>(
    error: &SdkError<E>,
) -> (u16, String, String) {
    let status = error.raw_response().unwrap().status().as_u16();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    (status, text(error.code()), text(error.message()))
}
