//! HEAD, entity tags, conditions and what may be kept, in process and through Lambda.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::Value;

use crate::compression::through_lambda_as;
use crate::fixture::{Answered, Fixture};

const STYLES: &str = "/docs/swagger-ui.css";

async fn ask(api: &Fixture, method: &str, path: &str, headers: &[(&str, &str)]) -> Answered {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api.answer(request.body(Body::empty()).expect("a request"))
        .await
}

#[tokio::test]
async fn head_on_every_get_route_is_the_answer_to_get_without_its_body() {
    let api = Fixture::new();
    let contract = api.get("/openapi.json").await.json();
    let paths = contract["paths"].as_object().expect("paths");
    let gets = paths
        .iter()
        .filter(|(_, operations)| operations.get("get").is_some());

    for (path, _) in gets {
        let path = path.replace("{job_id}", "6f9619ff-8b86-4d01-b42d-00cf4fc964ff");
        let path = path.replace("{version}/{folder}/{file}", "x/app/main.js");
        let path = path.replace("{file}", "start.js");

        for encoding in ["identity", "gzip"] {
            let headers = [("accept-encoding", encoding)];
            let get = ask(&api, "GET", &path, &headers).await;
            let head = ask(&api, "HEAD", &path, &headers).await;

            assert_eq!(head.status, get.status, "{path}");
            assert!(head.body.is_empty(), "{path}");
            assert_eq!(
                head.header("content-length"),
                get.body.len().to_string(),
                "{path} {encoding}"
            );
            for name in [
                "etag",
                "content-type",
                "content-encoding",
                "cache-control",
                "vary",
                "link",
            ] {
                assert_eq!(
                    head.header(name),
                    get.header(name),
                    "{path} {encoding} {name}"
                );
            }
            assert_ne!(head.header("cache-control"), "", "{path}");
        }
    }
}

#[tokio::test]
async fn a_tag_is_strong_and_that_of_the_compressed_bytes_is_another() {
    let api = Fixture::new();
    for path in [STYLES, "/openapi.json"] {
        let plain = ask(&api, "GET", path, &[]).await;
        let compressed = ask(&api, "GET", path, &[("accept-encoding", "gzip")]).await;
        let (own, other) = (plain.header("etag"), compressed.header("etag"));

        assert!(own.starts_with('"') && own.ends_with('"'), "{own}");
        assert_ne!(own, other, "{path}");
        assert_eq!(
            own,
            ask(&api, "GET", path, &[]).await.header("etag"),
            "the same bytes"
        );
        assert_eq!(compressed.header("vary"), "accept-encoding, origin");

        for (tag, encoding, status) in [
            (own, "identity", 304),
            (own, "gzip", 200),
            (other, "gzip", 304),
            (other, "identity", 200),
            ("*", "gzip", 304),
        ] {
            for method in ["GET", "HEAD"] {
                let headers = [("if-none-match", tag), ("accept-encoding", encoding)];
                let answered = ask(&api, method, path, &headers).await;
                assert_eq!(answered.status, status, "{method} {tag} {encoding}");
            }
        }
    }
}

#[tokio::test]
async fn an_unchanged_answer_is_a_304_without_a_body_that_renews_what_is_kept() {
    let api = Fixture::new();
    let whole = ask(&api, "GET", STYLES, &[]).await;
    let weak = format!("\"other\", W/{}", whole.header("etag"));
    let answered = ask(&api, "GET", STYLES, &[("if-none-match", &weak)]).await;

    assert_eq!(answered.status, StatusCode::NOT_MODIFIED);
    assert!(answered.body.is_empty());
    for name in ["etag", "cache-control", "vary", "content-length"] {
        assert_eq!(answered.header(name), whole.header(name), "{name}");
    }
    assert_eq!(answered.header("content-type"), "");
}

#[tokio::test]
async fn a_changed_answer_is_refused_to_those_who_want_the_one_they_know() {
    let api = Fixture::new();
    let tag = ask(&api, "GET", STYLES, &[])
        .await
        .header("etag")
        .to_owned();

    for (list, status) in [
        (tag.clone(), 200),
        (format!("\"a\", {tag}"), 200),
        ("*".to_owned(), 200),
        (format!("W/{tag}"), 412),
        ("\"a\"".to_owned(), 412),
    ] {
        let answered = ask(&api, "GET", STYLES, &[("if-match", &list)]).await;
        assert_eq!(answered.status, status, "{list}");
        if status == 412 {
            assert!(answered.places().is_empty());
            assert_eq!(answered.header("cache-control"), "no-store");
        }
    }
}

#[tokio::test]
async fn problems_and_other_methods_have_no_tag_and_ignore_conditions() {
    let api = Fixture::new();
    for (method, path) in [
        ("GET", "/nothing"),
        ("GET", "/prices/latest"),
        ("GET", "/symbols"),
        ("DELETE", "/docs"),
    ] {
        let answered = ask(&api, method, path, &[("if-none-match", "*")]).await;
        assert!(answered.status.as_u16() >= 400, "{path}");
        assert_eq!(answered.header("etag"), "", "{path}");
        assert!(answered.places().len() <= 1);
    }
}

#[tokio::test]
async fn each_route_says_what_may_be_kept() {
    let api = Fixture::new();
    for (path, kept) in [
        (STYLES, "public, max-age=3600"),
        ("/docs", "public, max-age=3600"),
        ("/openapi.json", "public, no-cache"),
        ("/health", "no-store"),
        ("/nothing", "no-store"),
        ("/symbols", "no-store"),
    ] {
        assert_eq!(api.get(path).await.header("cache-control"), kept, "{path}");
    }
}

#[tokio::test]
async fn a_range_of_what_is_not_an_export_is_ignored() {
    let answered = ask(&Fixture::new(), "GET", STYLES, &[("range", "bytes=0-9")]).await;
    assert_eq!(answered.status, StatusCode::OK);
    assert!(answered.body.len() > 1_000);
}

#[tokio::test]
async fn lambda_passes_the_size_on_without_the_body() {
    let answer = |headers: &'static [(&str, &str)], method: &'static str| async move {
        through_lambda_as(method, STYLES, headers).await
    };
    let whole = answer(&[("accept-encoding", "identity")], "GET").await;
    let size = whole["body"].as_str().expect("a body").len().to_string();

    let head = answer(&[("accept-encoding", "identity")], "HEAD").await;
    assert_eq!(head["headers"]["content-length"], Value::from(size.clone()));
    assert!(head["body"].as_str().unwrap_or_default().is_empty());
    assert_eq!(head["headers"]["etag"], whole["headers"]["etag"]);

    let unchanged = answer(&[("if-none-match", "*")], "GET").await;
    assert_eq!(unchanged["statusCode"], 304);
    assert!(unchanged["body"].as_str().unwrap_or_default().is_empty());
}
