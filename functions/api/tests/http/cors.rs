//! Pages of listed origins may send requests and read the answers; those of other origins neither.

use axum::body::Body;
use axum::http::{Request, StatusCode};

use crate::compression::through_lambda_as;
use crate::fixture::{Answered, Fixture};

const SHOP: &str = "https://shop.example";

async fn send(method: &str, path: &str, headers: &[(&str, &str)]) -> Answered {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1:8080");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }

    let request = request.body(Body::empty()).expect("a request");
    Fixture::new().answer(request).await
}

#[tokio::test]
async fn a_preflight_request_of_a_listed_origin_is_answered_on_every_path() {
    for path in ["/prices/poll", "/prices/poll/x", "/nothing"] {
        let answered = send(
            "OPTIONS",
            path,
            &[
                ("origin", SHOP),
                ("sec-fetch-site", "cross-site"),
                ("access-control-request-method", "POST"),
                (
                    "access-control-request-headers",
                    "authorization,content-type",
                ),
                ("access-control-request-private-network", "true"),
            ],
        )
        .await;

        assert_eq!(answered.status, StatusCode::NO_CONTENT, "{path}");
        assert_eq!(answered.header("access-control-allow-origin"), SHOP);
        assert_eq!(
            answered.header("access-control-allow-private-network"),
            "true"
        );
        assert_eq!(answered.header("access-control-max-age"), "600");
        assert_eq!(answered.header("vary"), "origin");
        for (list, wanted) in [
            (
                "access-control-allow-methods",
                &["POST", "PATCH", "DELETE"][..],
            ),
            (
                "access-control-allow-headers",
                &[
                    "Authorization",
                    "X-API-Key",
                    "Content-Type",
                    "Idempotency-Key",
                ],
            ),
        ] {
            let listed: Vec<&str> = answered.header(list).split(", ").collect();
            assert!(wanted.iter().all(|one| listed.contains(one)), "{listed:?}");
        }
        assert!(
            !answered
                .headers
                .contains_key("access-control-allow-credentials")
        );
    }
}

#[tokio::test]
async fn a_page_of_a_listed_origin_can_read_every_answer_and_its_headers() {
    for (method, path, status) in [
        ("GET", "/docs", 200),
        ("GET", "/nothing", 404),
        ("PUT", "/symbols", 405),
        ("GET", "/symbols?x=1", 422),
        ("GET", "/symbols", 503),
    ] {
        let answered = send(method, path, &[("origin", SHOP)]).await;

        assert_eq!(answered.status.as_u16(), status, "{method} {path}");
        assert_eq!(answered.header("access-control-allow-origin"), SHOP);
        let exposed = answered.header("access-control-expose-headers");
        for name in [
            "ETag",
            "Link",
            "X-Request-Id",
            "RateLimit-Remaining",
            "Retry-After",
        ] {
            assert!(exposed.split(", ").any(|one| one == name), "{exposed}");
        }
        assert!(
            answered.header("vary").ends_with("origin"),
            "{method} {path}"
        );
    }

    // The problem of a condition replaces the whole answer.
    let changed = send("GET", "/docs", &[("origin", SHOP), ("if-match", "\"x\"")]).await;
    assert_eq!(changed.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(changed.header("access-control-allow-origin"), SHOP);
}

#[tokio::test]
async fn neither_another_origin_nor_a_preflight_request_of_one_is_let_in() {
    for origin in [
        "https://evil.example",
        "http://shop.example",
        "https://shop.example.evil.example",
        "https://shop.example:8443",
        "https://shop.example/",
        "null",
    ] {
        for method in ["OPTIONS", "GET"] {
            let headers = [
                ("origin", origin),
                ("access-control-request-method", "POST"),
            ];
            let answered = send(method, "/prices/poll", &headers).await;

            assert_eq!(answered.status, StatusCode::FORBIDDEN, "{method} {origin}");
            assert!(!answered.headers.contains_key("access-control-allow-origin"));
            assert_eq!(answered.header("vary"), "origin");
        }
    }

    let both = [("origin", SHOP), ("origin", "https://evil.example")];
    let answered = send("GET", "/docs", &both).await;
    assert_eq!(answered.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn programs_get_no_headers_of_cors_and_a_link_of_another_site_opens_a_page() {
    let answered = send("GET", "/docs", &[]).await;
    assert_eq!(answered.status, StatusCode::OK);
    assert!(!answered.headers.contains_key("access-control-allow-origin"));

    let visit = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ];
    assert_eq!(send("GET", "/docs", &visit).await.status, StatusCode::OK);
    assert_eq!(
        send("POST", "/prices/poll", &visit).await.status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn through_lambda_vary_names_everything_that_the_answer_depends_on() {
    let headers = [("origin", SHOP), ("accept-encoding", "gzip")];
    let answer = through_lambda_as("GET", "/openapi.json", &headers).await;

    assert_eq!(answer["headers"]["vary"], "accept-encoding, origin");
    assert_eq!(answer["headers"]["access-control-allow-origin"], SHOP);
}
