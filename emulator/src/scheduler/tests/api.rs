//! The REST API as AWS's own client sees it.

use aws_sdk_scheduler::primitives::DateTime;
use aws_sdk_scheduler::types::{
    FlexibleTimeWindow as Window, FlexibleTimeWindowMode as Mode, ScheduleState,
};

use super::client::{code, creation, serve, target};

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
