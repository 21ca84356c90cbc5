//! The REST API as AWS's own client sees it.

use aws_sdk_scheduler::Client;
use aws_sdk_scheduler::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_scheduler::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_scheduler::operation::create_schedule::builders::CreateScheduleFluentBuilder;
use aws_sdk_scheduler::primitives::DateTime;
use aws_sdk_scheduler::types::{
    FlexibleTimeWindow as Window, FlexibleTimeWindowMode as Mode, ScheduleState,
    Target as SdkTarget,
};

use super::*;
use crate::visitors::AllowedHosts;

/// A scheduler that answers on a loopback port, and a client of it.
async fn serve(home: &Path) -> Client {
    serve_at(home).await.0
}

async fn serve_at(home: &Path) -> (Client, String) {
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
            .unwrap()
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

fn target() -> SdkTarget {
    SdkTarget::builder()
        .arn("arn:aws:lambda:us-east-1:000000000000:function:poller")
        .role_arn("arn:aws:iam::000000000000:role/scheduler")
        .input(r#"{"job_id":"1"}"#)
        .build()
        .unwrap()
}

fn creation(client: &Client, name: &str) -> CreateScheduleFluentBuilder {
    client
        .create_schedule()
        .name(name)
        .group_name("polling")
        .schedule_expression("rate(5 minutes)")
        .flexible_time_window(Window::builder().mode(Mode::Off).build().unwrap())
        .target(target())
}

fn code<E: aws_sdk_scheduler::error::ProvideErrorMetadata>(
    error: &SdkError<E>,
) -> (u16, String, String) {
    let status = error.raw_response().unwrap().status().as_u16();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    (status, text(error.code()), text(error.message()))
}

#[tokio::test]
async fn a_created_schedule_reads_back_with_all_its_members() {
    let home = tempfile::tempdir().unwrap();
    let client = serve(home.path()).await;
    let (start, end) = (
        DateTime::from_millis(1_767_225_660_500),
        DateTime::from_secs(1_790_000_000),
    );
    let created = creation(&client, "job")
        .start_date(start)
        .end_date(end)
        .send()
        .await
        .unwrap();
    let arn = "arn:aws:scheduler:us-east-1:000000000000:schedule/polling/job";
    assert_eq!(created.schedule_arn(), arn);
    let got = client
        .get_schedule()
        .name("job")
        .group_name("polling")
        .send()
        .await
        .unwrap();
    assert_eq!(got.arn(), Some(arn));
    assert_eq!(
        (got.name(), got.group_name()),
        (Some("job"), Some("polling"))
    );
    assert_eq!(got.schedule_expression(), Some("rate(5 minutes)"));
    assert_eq!(got.schedule_expression_timezone(), Some("UTC"));
    assert_eq!(
        (got.start_date(), got.end_date()),
        (Some(&start), Some(&end))
    );
    assert_eq!(got.state(), Some(&ScheduleState::Enabled));
    assert_eq!(got.target(), Some(&target()));
    assert_eq!(
        got.creation_date(),
        Some(&DateTime::from_secs(1_767_225_600))
    );
}

#[tokio::test]
async fn the_same_request_with_the_same_token_is_answered_again_and_any_other_conflicts() {
    let home = tempfile::tempdir().unwrap();
    let client = serve(home.path()).await;
    let first = creation(&client, "job")
        .client_token("once")
        .send()
        .await
        .unwrap();
    let again = creation(&client, "job")
        .client_token("once")
        .send()
        .await
        .unwrap();
    assert_eq!(first.schedule_arn(), again.schedule_arn());
    let other = creation(&client, "job")
        .client_token("once")
        .schedule_expression("rate(6 minutes)");
    let conflict = other.send().await.unwrap_err();
    assert!(conflict.as_service_error().unwrap().is_conflict_exception());
    let (status, _, message) = code(&creation(&client, "job").send().await.unwrap_err());
    assert_eq!(
        (status, message.as_str()),
        (409, "Schedule job already exists.")
    );
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let home = tempfile::tempdir().unwrap();
    let client = serve(home.path()).await;
    let not_found = |name: &str| {
        (
            404,
            "ResourceNotFoundException".to_owned(),
            format!("{name} does not exist."),
        )
    };
    let error = client
        .get_schedule()
        .name("job")
        .group_name("polling")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error), not_found("Schedule job"));
    let error = client
        .delete_schedule()
        .name("job")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error), not_found("Schedule job"));
    let error = creation(&client, "job")
        .group_name("none")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error), not_found("Schedule group none"));
    let error = client
        .list_schedules()
        .group_name("none")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error), not_found("Schedule group none"));
}

#[tokio::test]
async fn what_breaks_the_constraints_is_a_validation_exception() {
    let home = tempfile::tempdir().unwrap();
    let client = serve(home.path()).await;
    let job = || creation(&client, "job");
    let flexible = Window::builder().mode(Mode::Flexible).build().unwrap();
    let mut not_json = target();
    not_json.input = Some("not JSON".to_owned());
    let mut queue = target();
    queue.arn = "arn:aws:sqs:us-east-1:000000000000:queue".to_owned();
    let requests = [
        (creation(&client, "a b"), "pattern: ^[0-9a-zA-Z-_.]+$"),
        (
            creation(&client, &"a".repeat(65)),
            "length between 1 and 64",
        ),
        (
            job().schedule_expression("rate(0 minutes)"),
            "Invalid Schedule Expression rate(0 minutes).",
        ),
        (
            job().schedule_expression("cron(0 12 * * ? *)"),
            "does not support cron expressions yet",
        ),
        (
            job().start_date(DateTime::from_secs(1_767_225_600 - 301)),
            "earlier than 5 minutes ago",
        ),
        (
            job().end_date(DateTime::from_secs(1_767_225_600)),
            "EndDate",
        ),
        (
            job().flexible_time_window(flexible),
            "maximumWindowInMinutes",
        ),
        (job().target(not_json), "well-formed JSON"),
        (job().target(queue), "Lambda function"),
        (job().client_token("a.b"), "clientToken"),
    ];
    for (request, expected) in requests {
        let (status, code, message) = code(&request.send().await.unwrap_err());
        assert_eq!(
            (status, code.as_str()),
            (400, "ValidationException"),
            "{message}"
        );
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn lists_are_paged_and_filtered_by_group_prefix_and_state() {
    let home = tempfile::tempdir().unwrap();
    let client = serve(home.path()).await;
    for name in ["a-1", "a-2", "a-3", "b-1"] {
        creation(&client, name).send().await.unwrap();
    }
    creation(&client, "a-4")
        .group_name("default")
        .send()
        .await
        .unwrap();
    creation(&client, "a-5")
        .state(ScheduleState::Disabled)
        .send()
        .await
        .unwrap();
    let list = client
        .list_schedules()
        .group_name("polling")
        .name_prefix("a")
        .state(ScheduleState::Enabled);
    let pages = list.max_results(2).into_paginator().send();
    let pages = pages.try_collect().await.unwrap();
    let names: Vec<Vec<_>> = pages
        .iter()
        .map(|page| {
            page.schedules()
                .iter()
                .map(|schedule| schedule.name().unwrap())
                .collect()
        })
        .collect();
    assert_eq!(names, [vec!["a-1", "a-2"], vec!["a-3"]]);
    assert_eq!(
        pages[0].schedules()[0].target().unwrap().arn(),
        target().arn()
    );
    let error = client
        .list_schedules()
        .next_token("no token")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).1, "ValidationException");
}

#[tokio::test]
async fn a_deletion_repeated_with_its_token_succeeds_again() {
    let home = tempfile::tempdir().unwrap();
    let client = serve(home.path()).await;
    creation(&client, "job").send().await.unwrap();
    let delete = || client.delete_schedule().name("job").group_name("polling");
    delete().client_token("once").send().await.unwrap();
    delete().client_token("once").send().await.unwrap();
    assert_eq!(code(&delete().send().await.unwrap_err()).0, 404);
}

#[tokio::test]
async fn an_update_replaces_everything() {
    let home = tempfile::tempdir().unwrap();
    let client = serve(home.path()).await;
    creation(&client, "job")
        .description("before")
        .send()
        .await
        .unwrap();
    let update = client
        .update_schedule()
        .name("job")
        .group_name("polling")
        .target(target());
    let window = Window::builder().mode(Mode::Off).build().unwrap();
    update
        .schedule_expression("rate(1 hour)")
        .flexible_time_window(window)
        .send()
        .await
        .unwrap();
    let got = client
        .get_schedule()
        .name("job")
        .group_name("polling")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (got.schedule_expression(), got.description()),
        (Some("rate(1 hour)"), None)
    );
}

#[tokio::test]
async fn groups_are_made_listed_and_deleted_with_their_schedules() {
    let home = tempfile::tempdir().unwrap();
    let client = serve(home.path()).await;
    client
        .create_schedule_group()
        .name("extra")
        .send()
        .await
        .unwrap();
    let error = client
        .create_schedule_group()
        .name("extra")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).1, "ConflictException");
    creation(&client, "job")
        .group_name("extra")
        .send()
        .await
        .unwrap();
    let listed = client.list_schedule_groups().send().await.unwrap();
    let names: Vec<_> = listed
        .schedule_groups()
        .iter()
        .filter_map(|group| group.name())
        .collect();
    assert_eq!(names, ["default", "extra", "polling"]);
    client
        .delete_schedule_group()
        .name("extra")
        .send()
        .await
        .unwrap();
    assert_eq!(
        code(
            &client
                .get_schedule_group()
                .name("extra")
                .send()
                .await
                .unwrap_err()
        )
        .0,
        404
    );
    client
        .create_schedule_group()
        .name("extra")
        .send()
        .await
        .unwrap();
    let error = client
        .get_schedule()
        .name("job")
        .group_name("extra")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, 404);
}

#[tokio::test]
async fn what_a_page_has_a_browser_send_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (client, endpoint) = serve_at(home.path()).await;
    let json = ("content-type", "application/json");
    for (status, error, headers) in [
        (
            403,
            "AccessDeniedException",
            [json, ("origin", "http://evil.example")],
        ),
        (
            403,
            "AccessDeniedException",
            [json, ("sec-fetch-site", "cross-site")],
        ),
        (
            403,
            "AccessDeniedException",
            [json, ("host", "evil.example")],
        ),
        (
            415,
            "UnsupportedMediaTypeException",
            [("content-type", "text/plain"), ("accept", "*/*")],
        ),
        (
            415,
            "UnsupportedMediaTypeException",
            [("content-type", "application/jsonp"), ("accept", "*/*")],
        ),
        (
            415,
            "UnsupportedMediaTypeException",
            [("accept", "*/*"), ("accept", "*/*")],
        ),
    ] {
        let url = format!("{endpoint}/schedule-groups/made");
        let request = reqwest::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .post(url)
            .body("{}");
        let request = headers.into_iter().fold(request, |request, (name, value)| {
            request.header(name, value)
        });
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{headers:?}");
        assert_eq!(answer.headers()["x-amzn-errortype"], error);
    }
    client
        .get_schedule_group()
        .name("made")
        .send()
        .await
        .unwrap_err();
    client
        .create_schedule_group()
        .name("made")
        .send()
        .await
        .unwrap();
}
