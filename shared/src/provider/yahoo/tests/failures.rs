use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

async fn error_from(answer: ResponseTemplate) -> ProviderError {
    let server = answering(answer).await;
    ask(&client_of(&server), &["KO", "PEP"]).await.unwrap_err()
}

fn status(code: u16, body: &str) -> ResponseTemplate {
    ResponseTemplate::new(code).set_body_string(body)
}

fn unavailable(reason: &str) -> ProviderError {
    ProviderError::Unavailable {
        provider: "yahoo".parse().unwrap(),
        reason: reason.to_owned(),
    }
}

fn malformed(reason: &str) -> ProviderError {
    ProviderError::Malformed {
        provider: "yahoo".parse().unwrap(),
        reason: reason.to_owned(),
    }
}

#[tokio::test]
async fn a_limit_lasts_as_long_as_yahoo_says() {
    let error = error_from(status(429, "").insert_header("Retry-After", "77")).await;

    let provider = "yahoo".parse().unwrap();
    assert_eq!(
        error,
        ProviderError::RateLimited {
            provider,
            retry_after: Some(Duration::from_secs(77)),
            scope: Some(LimitScope::Address),
        }
    );
}

#[tokio::test]
async fn a_limit_is_known_by_its_words_where_the_status_hides_it() {
    let in_json =
        json!({"finance": {"result": null, "error": {"code": "Too Many Requests"}}}).to_string();

    for answer in [
        status(200, "Too Many Requests\r\n"),
        status(999, "<html>"),
        status(400, &in_json),
    ] {
        let error = error_from(answer).await;
        assert!(
            matches!(error, ProviderError::RateLimited { .. }),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn yahoos_own_errors_make_it_unavailable() {
    let error =
        |code: &str| json!({"finance": {"result": null, "error": {"code": code}}}).to_string();

    for (answer, reason) in [
        (status(500, ""), "HTTP status 500"),
        (status(503, "<html>be right back</html>"), "HTTP status 503"),
        (status(502, "{}"), "HTTP status 502"),
        (status(502, "{\"chart\":"), "HTTP status 502"),
        (
            status(200, "<!DOCTYPE html><title>be right back</title>"),
            "a web page instead of data",
        ),
        (
            status(500, &error("Internal Server Error")),
            "HTTP status 500",
        ),
    ] {
        assert_eq!(error_from(answer).await, unavailable(reason));
    }

    for (code, words) in [(400, "Bad Request"), (200, "<script>")] {
        let reported = error_from(status(code, &error(words))).await;
        assert_eq!(reported, malformed("an error of its own"));
    }
}

#[tokio::test]
async fn a_denial_of_access_is_no_outage() {
    let unauthorized = json!({"finance": {"result": null, "error": {"code": "Unauthorized"}}});
    let (provider, refusal) = ("yahoo".parse().unwrap(), Refusal::Blocked);

    let error = error_from(status(401, &unauthorized.to_string())).await;
    assert_eq!(error, ProviderError::NotAllowed { provider, refusal });
}

#[tokio::test]
async fn what_is_not_yahoos_format_is_malformed() {
    for (body, reason) in [
        (
            r#"{"chart":{"result":"KO","error":null}}"#,
            "JSON of another shape",
        ),
        (r#"{"quotes":[]}"#, "JSON of another shape"),
        (
            r#"{"spark":{"result":null,"error":null}}"#,
            "neither result nor error",
        ),
    ] {
        assert_eq!(
            error_from(json_body(body)).await,
            malformed(reason),
            "{body}"
        );
    }

    let odd_bytes = ResponseTemplate::new(200).set_body_raw(vec![b'{', 0xff], "application/json");
    assert_eq!(
        error_from(odd_bytes).await,
        malformed("JSON of another shape")
    );
}

#[tokio::test]
async fn a_body_of_two_megabytes_is_read_and_a_longer_one_cut_off() {
    let quotes = chart(&meta("KO", KO));
    let padding = " ".repeat(2 * 1024 * 1024 - quotes.len());

    assert_eq!(
        one("KO", format!("{quotes}{padding}")).await,
        "71.123456789012345 USD"
    );
    assert_eq!(
        error_from(json_body(format!("{quotes}{padding} "))).await,
        malformed("more than 2 MB")
    );
}

#[tokio::test]
async fn a_slow_answer_times_out() {
    let server = answering(json_body(spark(&[])).set_delay(Duration::from_secs(60))).await;
    let yahoo = yahoo_within(&server.uri(), Duration::from_millis(200));

    let provider = "yahoo".parse().unwrap();
    assert_eq!(
        ask(&yahoo, &["KO"]).await.unwrap_err(),
        ProviderError::TimedOut { provider }
    );
}

#[tokio::test]
async fn nobody_listening_makes_yahoo_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);

    let yahoo = yahoo_at(&format!("http://{address}"));
    assert_eq!(
        ask(&yahoo, &["KO"]).await.unwrap_err(),
        unavailable("no connection to it")
    );
}

#[tokio::test]
async fn an_answer_that_breaks_off_makes_yahoo_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        assert!(connection.read(&mut [0; 4096]).await.unwrap() > 0);
        connection
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"chart\"")
            .await
            .unwrap();
    });

    let yahoo = yahoo_at(&format!("http://{address}"));
    assert_eq!(
        ask(&yahoo, &["KO"]).await.unwrap_err(),
        unavailable("the connection broke off")
    );

    server.await.unwrap();
}

#[tokio::test]
async fn redirections_to_other_hosts_are_not_followed() {
    let elsewhere = MockServer::start().await;
    let away = ResponseTemplate::new(302).insert_header("Location", elsewhere.uri());

    assert_eq!(error_from(away).await, unavailable("it sends us elsewhere"));
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn redirections_within_the_host_are_followed_but_not_for_ever() {
    let server = MockServer::start().await;
    let moved = ResponseTemplate::new(302).insert_header("Location", "/moved");
    Mock::given(path("/v8/finance/chart/KO"))
        .respond_with(moved)
        .mount(&server)
        .await;
    Mock::given(path("/moved"))
        .respond_with(json_body(chart(&meta("KO", KO))))
        .mount(&server)
        .await;

    assert!(
        ask(&client_of(&server), &["KO"]).await.unwrap().quotes[0]
            .1
            .is_ok()
    );

    let circle = ResponseTemplate::new(302).insert_header("Location", "/again");
    assert_eq!(
        error_from(circle).await,
        unavailable("it sends us elsewhere")
    );
}
