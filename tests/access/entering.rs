//! Attempts to get in without a key: through another gateway, by headers, by the host, by the path.

use shared::access::Scope;

use crate::guarded::{Guarded, Through};

#[tokio::test]
async fn with_no_key_made_only_loopback_is_answered_and_others_are_told_how_to_make_one() {
    let api = Guarded::start().await;

    let answered = api.get(Through::Loopback, "/symbols", None).await;
    assert_eq!(answered.status, 200, "{answered:?}");

    for through in [Through::Network, Through::Aws] {
        for path in ["/symbols", "/prices/latest?symbol=AAPL", "/nothing"] {
            let answered = api.get(through, path, None).await;

            answered.assert_problem(401, "no-api-key-made");
            assert_eq!(
                answered.header("www-authenticate"),
                r#"Bearer realm="market data""#
            );
            let detail = answered.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains("cargo run -- keys create"), "{detail}");
            assert!(detail.contains("FirstAdminKey"), "{detail}");
        }
    }
}

#[tokio::test]
async fn from_the_first_key_on_loopback_needs_one_too_even_if_all_are_revoked() {
    let api = Guarded::start().await;
    let key = api.key(Scope::Read).await;

    for through in [Through::Loopback, Through::Network, Through::Aws] {
        api.get(through, "/symbols", None)
            .await
            .assert_problem(401, "api-key-required");
        assert_eq!(api.get(through, "/symbols", Some(&key)).await.status, 200);
    }

    sqlx::query("update api_keys set revoked_at = now()")
        .execute(&api.pool)
        .await
        .unwrap();
    let another = Guarded::over(api.pool.clone());
    another
        .get(Through::Loopback, "/symbols", None)
        .await
        .assert_problem(401, "api-key-required");
}

#[tokio::test]
async fn nothing_that_a_client_sends_makes_a_request_one_of_loopback() {
    let api = Guarded::start().await;

    for headers in [
        &[("host", "localhost")][..],
        &[("host", "127.0.0.1:8080")],
        &[("host", "[::1]:8080")],
        &[("host", "localhost.")],
        &[("host", "LOCALHOST:80")],
        &[("x-forwarded-for", "127.0.0.1")],
        &[
            ("x-forwarded-for", "127.0.0.1, ::1"),
            ("x-real-ip", "127.0.0.1"),
        ],
        &[("forwarded", "for=127.0.0.1;host=localhost;by=loopback")],
        &[("x-forwarded-host", "localhost")],
        &[("listener", "loopback"), ("authorizer", "loopback")],
        &[(
            "x-amzn-request-context",
            r#"{"authorizer":{"lambda":{"listener":"loopback"}}}"#,
        )],
        &[(
            "x-amzn-lambda-context",
            r#"{"authorizer":{"lambda":{"listener":"loopback"}}}"#,
        )],
        &[("authorization", "loopback")],
        &[("authorization", "Basic bG9vcGJhY2s6")],
        &[("authorization", "Bearer ")],
        &[("x-api-key", "")],
        &[("x-api-key", "null"), ("cookie", "key=x")],
    ] {
        for through in [Through::Network, Through::Aws] {
            let answered = api.send(through, "GET", "/symbols", headers).await;
            assert_eq!(answered.status, 401, "{through:?} {headers:?} {answered:?}");
        }
    }
}

#[tokio::test]
async fn no_spelling_of_a_path_gets_around_the_key() {
    let api = Guarded::start().await;
    api.key(Scope::Read).await;

    for path in [
        "/symbols",
        "/symbols/",
        "//symbols",
        "/./symbols",
        "/docs/../symbols",
        "/docs/..%2fsymbols",
        "/docs/%2e%2e/symbols",
        "/openapi.json/../symbols",
        "/SYMBOLS",
        "/%73ymbols",
        "/symbols;/docs",
        "/symbols#/docs",
        "/symbols?x=/docs",
        "/health/../symbols",
        "/prices/poll/../../symbols",
        "/docs\\..\\symbols",
        "/nothing",
    ] {
        for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "TRACE"] {
            let answered = api.send(Through::Loopback, method, path, &[]).await;
            let is_page = path.starts_with("/docs") && [404, 405].contains(&answered.status);
            assert!(
                answered.status == 401 || is_page,
                "{method} {path} {answered:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_preflight_request_needs_no_key_and_the_request_after_it_does() {
    let api = Guarded::start().await;
    let key = api.key(Scope::Read).await;
    let origin = ("origin", "https://shop.example");

    let asks = [origin, ("access-control-request-method", "GET")];
    let preflight = api.send(Through::Aws, "OPTIONS", "/symbols", &asks).await;
    assert_eq!(preflight.status, 204);

    let refused = api.send(Through::Aws, "GET", "/symbols", &[origin]).await;
    refused.assert_problem(401, "api-key-required");
    assert_eq!(refused.header("access-control-allow-origin"), origin.1);
    assert!(!refused.header("x-request-id").is_empty());

    let key = key.expose();
    let headers = [origin, ("x-api-key", key.as_str())];
    let answered = api.send(Through::Aws, "GET", "/symbols", &headers).await;
    assert_eq!(answered.status, 200);
}

#[tokio::test]
async fn without_postgres_nobody_gets_in_but_what_was_known_of_loopback_counts() {
    let api = Guarded::start().await;
    let fresh = Guarded::over(api.pool.clone());
    let key = api.key(Scope::Read).await;
    sqlx::query("delete from api_keys")
        .execute(&api.pool)
        .await
        .unwrap();
    assert_eq!(
        api.get(Through::Loopback, "/symbols", None).await.status,
        200
    );

    api.pool.close().await;

    let docs = api.get(Through::Aws, "/openapi.json", None).await;
    assert_eq!(docs.status, 200);
    fresh
        .get(Through::Loopback, "/symbols", None)
        .await
        .assert_problem(503, "database-unavailable");
    fresh
        .get(Through::Loopback, "/symbols", Some(&key))
        .await
        .assert_problem(503, "database-unavailable");
    fresh
        .get(Through::Aws, "/symbols", None)
        .await
        .assert_problem(401, "api-key-required");

    let bad = api.get(Through::Loopback, "/symbols?limit=0", None).await;
    assert_eq!(bad.status, 422, "the handler is reached");
}
