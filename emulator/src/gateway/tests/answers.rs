//! How clients receive a function's answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{Fixed, FunctionError, Harness, InvokeError, Outcome, PATIENCE, client};

async fn status_and_message(answer: Result<Outcome, InvokeError>) -> (u16, Value) {
    let harness = Harness::start(answer, &[]).await;
    let response = harness.get("/").await;

    (
        response.status().as_u16(),
        response
            .json()
            .await
            .expect("the gateway's own answers are JSON"),
    )
}

#[tokio::test]
async fn status_headers_cookies_and_body_come_from_the_function() {
    let answer = json!({
        "statusCode": 201,
        "headers": { "Content-Type": "application/problem+json", "x-many": "a,b", "x-number": 5, "content-length": "999" },
        "multiValueHeaders": {},
        "cookies": ["a=1; Path=/", "b=2"],
        "body": "{\"price\":150.250}",
        "isBase64Encoded": false,
    });

    let harness = Harness::answering(answer).await;
    let response = harness.get("/").await;

    assert_eq!(response.status(), 201);
    let headers = response.headers().clone();
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(
        (&headers["x-many"], &headers["x-number"]),
        (&"a,b".parse().unwrap(), &"5".parse().unwrap())
    );
    let cookies: Vec<_> = headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1; Path=/", "b=2"]);
    assert!(headers.contains_key("apigw-requestid"));
    assert_eq!(response.text().await.unwrap(), "{\"price\":150.250}");
}

#[tokio::test]
async fn the_size_of_a_body_that_is_not_sent_is_the_function_s() {
    let answer = |status: u16| {
        json!({
            "statusCode": status,
            "headers": { "content-type": "text/csv", "content-length": "4711", "etag": "\"a\"" },
            "body": null,
            "isBase64Encoded": false,
        })
    };

    let harness = Harness::answering(answer(200)).await;
    let request = client().head(harness.url("/")).send();
    let response = request.await.expect("an answer");
    assert_eq!(response.headers()["content-length"], "4711");
    assert_eq!(response.bytes().await.expect("no body").len(), 0);

    let response = Harness::answering(answer(304)).await.get("/").await;
    assert_eq!(response.status(), 304);
    assert_eq!(response.headers().get("content-length"), None);

    // A body decides for itself, as everywhere.
    let whole = json!({ "statusCode": 200, "headers": { "content-length": "7" }, "body": "four" });
    let harness = Harness::answering(whole).await;
    let response = client().head(harness.url("/")).send().await;
    assert_eq!(
        response.expect("an answer").headers()["content-length"],
        "4"
    );
}

#[tokio::test]
async fn a_base64_body_arrives_as_its_bytes() {
    let harness =
        Harness::answering(json!({ "statusCode": 200, "body": "AP8=", "isBase64Encoded": true }))
            .await;
    assert_eq!(
        harness.get("/").await.bytes().await.unwrap(),
        Bytes::from_static(b"\x00\xff")
    );
}

#[tokio::test]
async fn json_without_a_status_is_the_body_itself() {
    let harness = Harness::answering(json!({ "hello": "world" })).await;
    let response = harness.get("/").await;
    assert_eq!(
        (
            response.status().as_u16(),
            &response.headers()["content-type"]
        ),
        (200, &"application/json".parse().unwrap())
    );
    assert_eq!(response.text().await.unwrap(), "{\"hello\":\"world\"}");
}

#[tokio::test]
async fn an_answer_that_is_no_response_is_an_internal_error() {
    for answer in [
        "not json".to_owned(),
        json!({ "statusCode": 99 }).to_string(),
        json!({ "statusCode": 100 }).to_string(),
        json!({ "statusCode": "ok" }).to_string(),
        json!({ "statusCode": 200, "headers": { "bad name": "x" } }).to_string(),
        json!({ "statusCode": 200, "headers": { "x": "a\nb" } }).to_string(),
        json!({ "statusCode": 200, "body": "***", "isBase64Encoded": true }).to_string(),
    ] {
        let got = status_and_message(Ok(Outcome::Success(Bytes::from(answer.clone())))).await;
        assert_eq!(
            got,
            (500, json!({ "message": "Internal Server Error" })),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_function_error_is_an_internal_error_that_tells_nothing_of_it() {
    let error = FunctionError {
        error_type: "Runtime.ExitError".to_owned(),
        message: "postgres://user:secret@host".to_owned(),
        payload: Bytes::from_static(b"{}"),
    };

    let got = status_and_message(Ok(Outcome::FunctionError(error))).await;
    assert_eq!(got, (500, json!({ "message": "Internal Server Error" })));
}

#[tokio::test]
async fn a_function_that_cannot_be_run_now_is_unavailable() {
    for error in [
        InvokeError::Throttled("f".to_owned()),
        InvokeError::Stopping,
    ] {
        assert_eq!(
            status_and_message(Err(error)).await,
            (503, json!({ "message": "Service Unavailable" }))
        );
    }

    assert_eq!(
        status_and_message(Err(InvokeError::NoSuchFunction("f".to_owned())))
            .await
            .0,
        500
    );
}

#[tokio::test]
async fn a_stop_finishes_what_is_in_flight_and_takes_nothing_new() {
    let release = Arc::new(Notify::new());
    let answer = Ok(Outcome::Success(Bytes::from_static(b"\"done\"")));
    let function = Fixed {
        answer,
        events: Mutex::default(),
        release: Some(Arc::clone(&release)),
    };
    let harness = Harness::with(function, &[]).await;

    let request = tokio::spawn(client().get(harness.url("/")).send());
    tokio::time::timeout(PATIENCE, async {
        while harness.function.events.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();

    harness.stop.cancel();
    tokio::time::timeout(PATIENCE, async {
        while client().get(harness.url("/")).send().await.is_ok() {}
    })
    .await
    .unwrap();
    assert!(!harness.served.is_finished());

    release.notify_one();
    assert_eq!(
        request.await.unwrap().unwrap().text().await.unwrap(),
        "\"done\""
    );

    tokio::time::timeout(PATIENCE, harness.served)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_function_that_takes_longer_than_the_integration_may_is_unavailable() {
    let release = Some(Arc::new(Notify::new()));
    let function = Fixed {
        answer: Err(InvokeError::Stopping),
        events: Mutex::default(),
        release,
    };
    let harness = Harness::within(Duration::from_millis(50), function, &[]).await;

    let response = harness.get("/").await;
    assert_eq!(response.status(), 503);
    assert_eq!(
        response.json::<Value>().await.unwrap(),
        json!({ "message": "Service Unavailable" })
    );
}

#[tokio::test]
async fn a_host_that_is_not_this_machines_is_refused_with_what_to_do() {
    let harness = Harness::answering(serde_json::json!({ "statusCode": 200 })).await;

    for head in [
        "GET / HTTP/1.1\r\nHost: evil.example\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n",
        "GET / HTTP/1.0\r\n",
    ] {
        let answer = harness
            .raw(&format!("{head}Connection: close\r\n\r\n"))
            .await;
        assert!(
            answer.starts_with("HTTP/1.1 403 ") || answer.starts_with("HTTP/1.0 403 "),
            "{answer}"
        );
        assert!(answer.contains("EMULATOR_ALLOWED_HOSTS"), "{answer}");
    }

    assert!(harness.function.events.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_body_whose_encoding_is_malformed_is_a_bad_request_and_reaches_no_function() {
    let harness = Harness::answering(json!({ "statusCode": 200 })).await;

    let answer = harness
        .raw(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
             no size\r\n",
        )
        .await;

    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(harness.function.events.lock().unwrap().len(), 0);
}
