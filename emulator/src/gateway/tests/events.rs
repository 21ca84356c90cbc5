//! What functions receive of a request.

use std::sync::Mutex;

use axum::body::Bytes;
use serde_json::{Value, json};

use super::{Fixed, Harness, Outcome, PATIENCE, client};

#[tokio::test]
async fn a_request_becomes_an_event_of_payload_format_two() {
    let harness = Harness::answering(json!({ "statusCode": 200 })).await;
    let request = "POST /prices/poll?b=2&a=1&a=%C3%BC HTTP/1.1\r\nHost: market.example:8080\r\nUser-Agent: curl\r\n\
        Content-Type: application/json\r\nX-Dup: 1\r\nx-dup: 2\r\nCookie: c1=v1; c2=v2\r\nX-Forwarded-Proto: not a scheme\r\n\
        Content-Length: 8\r\nConnection: close\r\n\r\n{\"a\":\"\u{fc}\"}";

    harness
        .raw(&request.replace("Content-Length: 8", "Content-Length: 10"))
        .await;

    let mut event = harness.only_event();
    let context = event["requestContext"].as_object_mut().unwrap();
    let mut taken = |key| context.remove(key).unwrap();
    assert!(taken("time").as_str().unwrap().ends_with(" +0000"));
    assert!(taken("timeEpoch").as_i64().unwrap() > 1_700_000_000_000);
    assert!(!taken("requestId").as_str().unwrap().is_empty());

    assert_eq!(
        event,
        json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": "/prices/poll",
            "rawQueryString": "b=2&a=1&a=%C3%BC",
            "cookies": ["c1=v1", "c2=v2"],
            "headers": {
                "content-length": "10",
                "content-type": "application/json",
                "host": "market.example:8080",
                "user-agent": "curl",
                "x-dup": "1,2",
                "x-forwarded-for": "127.0.0.1",
                "x-forwarded-proto": "http",
            },
            "queryStringParameters": { "a": "1,ü", "b": "2" },
            "requestContext": {
                "accountId": "000000000000",
                "apiId": "local",
                "authorizer": { "lambda": { "listener": "loopback", "sender": "this machine" } },
                "domainName": "market.example",
                "domainPrefix": "market",
                "http": {
                    "method": "POST",
                    "path": "/prices/poll",
                    "protocol": "HTTP/1.1",
                    "sourceIp": "127.0.0.1",
                    "userAgent": "curl",
                },
                "routeKey": "$default",
                "stage": "$default",
            },
            "body": "{\"a\":\"ü\"}",
            "isBase64Encoded": false,
        })
    );
}

#[tokio::test]
async fn only_a_listener_that_this_machine_alone_reaches_says_so_whatever_the_client_sends() {
    for (listen, reached, is_loopback) in [
        ("127.0.0.1", "127.0.0.1", true),
        ("127.0.0.1", "::1", true),
        ("0.0.0.0", "0.0.0.0", false),
        ("0.0.0.0", "127.0.0.1", true),
        ("0.0.0.0", "192.168.1.5", false),
        ("127.0.0.1", "0.0.0.0", false),
    ] {
        let function = Fixed {
            answer: Ok(Outcome::Success(Bytes::from_static(b"{}"))),
            events: Mutex::default(),
            release: None,
        };
        let harness = Harness::at(listen, reached, PATIENCE, function, &[]).await;

        let port = harness.address.port();
        let request = client()
            .get(format!("http://127.0.0.1:{port}/x?listener=loopback"))
            .header("x-forwarded-for", "127.0.0.1")
            .header("authorizer", "loopback")
            .header("listener", "loopback");
        request.send().await.unwrap();

        let context = &harness.only_event()["requestContext"];
        let known = &context["authorizer"]["lambda"];
        let expected = if is_loopback {
            json!("loopback")
        } else {
            Value::Null
        };
        assert_eq!(known["listener"], expected, "{listen} {reached}");
        assert_eq!(known["sender"], "this machine");
    }
}

#[tokio::test]
async fn absent_parts_are_left_out() {
    let harness = Harness::answering(json!({ "statusCode": 200 })).await;
    harness.get("/health").await;
    let event = harness.only_event();

    for part in [
        "body",
        "cookies",
        "queryStringParameters",
        "pathParameters",
        "stageVariables",
    ] {
        assert_eq!(event.get(part), None, "{part}");
    }
    assert_eq!(event["rawQueryString"], "");
}

#[tokio::test]
async fn the_query_stays_encoded_and_the_path_arrives_decoded() {
    let harness = Harness::answering(json!({ "statusCode": 200 })).await;
    harness
        .get("/prices/%5EGSPC%20%C3%BC/x?symbol=%5EGSPC&plus=a+b")
        .await;

    let event = harness.only_event();
    assert_eq!(event["rawPath"], "/prices/^GSPC ü/x");
    assert_eq!(event["rawQueryString"], "symbol=%5EGSPC&plus=a+b");
    assert_eq!(
        event["queryStringParameters"],
        json!({ "symbol": "^GSPC", "plus": "a b" })
    );
}

#[tokio::test]
async fn a_decoded_question_mark_ends_the_path() {
    let harness = Harness::answering(json!({ "statusCode": 200 })).await;
    harness.get("/a%3Fb?c=d").await;
    let event = harness.only_event();
    assert_eq!(
        (&event["rawPath"], &event["rawQueryString"]),
        (&json!("/a"), &json!("c=d"))
    );
}

#[tokio::test]
async fn a_body_that_is_not_text_goes_in_base64() {
    for (content_type, body, expected, encoded) in [
        ("application/octet-stream", &b"\x00\xff"[..], "AP8=", true),
        ("application/x-www-form-urlencoded", b"a=b", "YT1i", true),
        ("application/json", b"\xff", "/w==", true),
        (
            "application/problem+json; charset=utf-8",
            b"{}",
            "{}",
            false,
        ),
        ("Text/Plain", b"hi", "hi", false),
    ] {
        let harness = Harness::answering(json!({ "statusCode": 200 })).await;
        let request = client()
            .post(harness.url("/"))
            .header("content-type", content_type)
            .body(body);
        request.send().await.unwrap();

        let event = harness.only_event();
        assert_eq!(
            (&event["body"], &event["isBase64Encoded"]),
            (&json!(expected), &json!(encoded)),
            "{content_type}"
        );
    }
}

#[tokio::test]
async fn a_named_route_gives_its_key_and_path_parameters() {
    let harness = Harness::start(Ok(Outcome::Success("{}".into())), &[("GET", "/jobs/{id}")]).await;

    assert_eq!(harness.get("/jobs/a%20b").await.status(), 200);
    let event = harness.only_event();
    assert_eq!(event["routeKey"], "GET /jobs/{id}");
    assert_eq!(event["pathParameters"], json!({ "id": "a b" }));

    let nowhere = harness.get("/jobs").await;
    assert_eq!(nowhere.status(), 404);
    assert_eq!(
        nowhere.json::<Value>().await.unwrap(),
        json!({ "message": "Not Found" })
    );
}

#[tokio::test]
async fn what_would_not_make_a_url_is_a_bad_request_and_reaches_no_function() {
    let harness = Harness::answering(json!({ "statusCode": 200 })).await;

    for request in [
        "GET /%FF HTTP/1.1\r\nHost: a\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n",
        "GET / HTTP/1.1\r\nHost: a:99999\r\n",
        "GET / HTTP/1.1\r\nHost: [::1\r\n",
        "GET / HTTP/1.1\r\nHost: user@a\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n",
    ] {
        let answer = harness
            .raw(&format!("{request}Connection: close\r\n\r\n"))
            .await;
        assert!(
            answer.starts_with("HTTP/1.1 400 "),
            "{request:?} gave {answer:?}"
        );
    }

    assert!(harness.function.events.lock().unwrap().is_empty());
}

#[tokio::test]
async fn too_large_a_body_or_head_is_refused() {
    let harness = Harness::answering(json!({ "statusCode": 200 })).await;
    let post = |size: usize| {
        let body = "x".repeat(size);
        client()
            .post(harness.url("/"))
            .header("content-type", "text/plain")
            .body(body)
            .send()
    };

    assert_eq!(post(1024 * 1024).await.unwrap().status(), 200);
    let refused = post(7 * 1024 * 1024).await.unwrap();
    assert_eq!(refused.status(), 413);
    assert_eq!(
        refused.json::<Value>().await.unwrap(),
        json!({ "message": "Request Entity Too Large" })
    );

    let long = format!("/?{}", "q".repeat(11_000));
    assert_eq!(harness.get(&long).await.status(), 431);
}

#[tokio::test]
async fn lambda_http_reads_the_same_request_from_the_event() {
    let harness = Harness::answering(json!({ "statusCode": 200 })).await;
    let body = client()
        .post(harness.url("/a%20%22%25%C3%BC/[b]?symbol=%5EGSPC&x=%22"))
        .body(vec![0, 255]);
    body.header("cookie", "c=1").send().await.unwrap();

    let request = lambda_http::request::from_str(&harness.only_event().to_string()).unwrap();
    let uri = request.uri();
    assert_eq!(
        (uri.path(), uri.query()),
        ("/a%20%22%%C3%BC/[b]", Some("symbol=%5EGSPC&x=%22"))
    );
    assert_eq!(uri.scheme_str(), Some("http"));
    assert_eq!(
        (
            request.method().as_str(),
            request.headers()["cookie"].to_str().unwrap()
        ),
        ("POST", "c=1")
    );
    assert_eq!(request.body().as_ref(), [0, 255]);
}
