//! Schedule groups, and requests that pages send.

use super::client::{code, creation, serve, serve_at};

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
