//! A request that a page of another site makes a browser send is refused before a provider is asked
//! or anything is stored.

use axum::body::Body;
use axum::http::{Request, StatusCode};

use crate::fixture::{Answered, Fixture};

const JOB: &str = r#"{"symbols":["AAPL"],"interval":60}"#;

async fn send(
    api: &Fixture,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answered {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1:8080");

    for (name, value) in headers {
        request = request.header(*name, *value);
    }

    api.answer(
        request
            .body(Body::from(body.to_owned()))
            .expect("a request"),
    )
    .await
}

#[tokio::test]
async fn a_foreign_page_s_request_is_a_403_problem_on_every_path() {
    let api = Fixture::new();

    for (method, path) in [
        ("POST", "/prices/poll"),
        ("GET", "/prices/latest?symbol=AAPL"),
        (
            "DELETE",
            "/prices/poll/6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
        ),
        ("GET", "/health"),
        ("GET", "/nothing"),
        ("PUT", "/symbols"),
    ] {
        for foreign in [
            ("origin", "https://evil.example"),
            ("sec-fetch-site", "cross-site"),
        ] {
            let answered = send(
                &api,
                method,
                path,
                &[foreign, ("content-type", "application/json")],
                JOB,
            )
            .await;

            assert_eq!(
                answered.status,
                StatusCode::FORBIDDEN,
                "{method} {path} {foreign:?}"
            );

            assert!(answered.places().is_empty());
            assert_eq!(answered.json()["type"], "/docs#foreign-page");
            assert!(!answered.headers.contains_key("access-control-allow-origin"));
        }
    }

    assert_eq!(api.asked(), 0);
}

#[tokio::test]
async fn our_own_page_an_allowed_one_and_programs_get_through() {
    let api = Fixture::new();
    for headers in [
        &[][..],
        &[
            ("origin", "http://127.0.0.1:8080"),
            ("sec-fetch-site", "same-origin"),
        ],
        &[
            ("origin", "https://shop.example"),
            ("sec-fetch-site", "cross-site"),
        ],
    ] {
        // Postgres is unavailable here, so a 503 shows that the request reached the handler.
        assert_eq!(
            send(&api, "GET", "/symbols", headers, "").await.status,
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
}

#[tokio::test]
async fn a_body_that_is_not_called_json_is_a_415_problem() {
    let api = Fixture::new();
    for headers in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "text/plain;application/json")],
    ] {
        let answered = send(&api, "POST", "/prices/poll", headers, JOB).await;
        assert_eq!(
            answered.status,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{headers:?}"
        );

        assert!(answered.places().is_empty());
        assert!(
            answered.json()["detail"]
                .as_str()
                .unwrap()
                .contains("Content-Type: application/json")
        );
    }

    let json = [("content-type", "application/json; charset=utf-8")];
    assert_eq!(
        send(&api, "POST", "/prices/poll", &json, JOB).await.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "it is read, and Postgres is unavailable"
    );

    assert_eq!(
        send(&api, "POST", "/nothing", &[], JOB).await.status,
        StatusCode::NOT_FOUND
    );
}
