//! Large answers are compressed for clients that accept gzip, in process and through Lambda.

use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_http::lambda_runtime::{Context, LambdaEvent};
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Service as _};
use serde_json::{Value, json};

use crate::fixture::{Answered, Fixture};

const STYLES: &str = "/docs/swagger-ui.css";
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

async fn ask(api: &Fixture, path: &str, accepted: &str) -> Answered {
    let request = Request::get(path).header("accept-encoding", accepted);
    api.answer(request.body(Body::empty()).expect("a request"))
        .await
}

#[tokio::test]
async fn a_large_answer_is_compressed_only_for_those_who_accept_gzip() {
    let api = Fixture::new();
    for path in [STYLES, "/openapi.json"] {
        let plain = api.get(path).await;
        assert_eq!(plain.header("vary"), "accept-encoding, origin", "{path}");

        for refused in ["br", "gzip;q=0", "identity, gzip; q=0.0"] {
            let answered = ask(&api, path, refused).await;
            assert_eq!(
                (answered.header("content-encoding"), &answered.body),
                ("", &plain.body),
                "{path} {refused}"
            );
        }

        for accepted in ["gzip", "br, GZIP;q=0.5", "deflate, gzip"] {
            let answered = ask(&api, path, accepted).await;
            assert_eq!(
                answered.header("content-encoding"),
                "gzip",
                "{path} {accepted}"
            );
            assert_eq!(answered.body[..2], GZIP_MAGIC);
            assert!(answered.body.len() < plain.body.len() / 3);
            assert_eq!(
                answered.header("content-type"),
                plain.header("content-type")
            );
        }
    }
}

#[tokio::test]
async fn a_small_answer_is_not_compressed() {
    let answered = ask(&Fixture::new(), "/nothing", "gzip").await;

    assert_eq!(answered.header("content-encoding"), "");
    assert!(answered.places().is_empty());
}

/// The answer to `GET path` as Lambda passes it to API Gateway.
async fn through_lambda(path: &str, accepted: &str) -> Value {
    through_lambda_as("GET", path, &[("accept-encoding", accepted)]).await
}

/// The answer to a request as Lambda passes it to API Gateway.
pub(crate) async fn through_lambda_as(method: &str, path: &str, headers: &[(&str, &str)]) -> Value {
    let mut event: Value =
        serde_json::from_str(include_str!("../../../../events/api-latest.json")).expect("an event");
    event["rawPath"] = json!(path);
    event["requestContext"]["http"]["path"] = json!(path);
    event["requestContext"]["http"]["method"] = json!(method);
    for (name, value) in headers {
        event["headers"][*name] = json!(value);
    }

    let event: LambdaRequest = serde_json::from_value(event).expect("a request");
    let answer = Adapter::from(Fixture::new().router)
        .call(LambdaEvent::new(event, Context::default()))
        .await
        .expect("an answer");
    serde_json::to_value(answer).expect("JSON")
}

#[tokio::test]
async fn lambda_encodes_a_compressed_answer_in_base64_and_leaves_text_as_it_is() {
    let compressed = through_lambda(STYLES, "gzip").await;
    assert_eq!(compressed["headers"]["content-encoding"], "gzip");
    assert_eq!(compressed["isBase64Encoded"], true);
    let body = STANDARD.decode(compressed["body"].as_str().expect("a body"));
    assert_eq!(body.expect("base64")[..2], GZIP_MAGIC);

    let plain = through_lambda(STYLES, "identity").await;
    assert_eq!(plain["isBase64Encoded"], false);
    assert_eq!(
        plain["body"].as_str(),
        Some(include_str!("../../assets/swagger-ui/swagger-ui.css"))
    );
}
