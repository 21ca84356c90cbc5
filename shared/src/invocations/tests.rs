use aws_credential_types::Credentials;
use serde_json::json;
use wiremock::matchers::{body_json, header, header_regex, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

const ARN: &str = "arn:aws:lambda:eu-central-1:000000000000:function:market-data-poller";

fn poller(endpoint: Option<String>) -> Invocations {
    let settings = InvocationSettings {
        function_arn: ARN.to_owned(),
        endpoint,
    };
    let credentials = Credentials::new("id", "secret", None, None, "test");
    Invocations::new(&settings, SharedCredentialsProvider::new(credentials)).unwrap()
}

async fn poll(invocations: &Invocations) -> Result<(), InvocationError> {
    let requested_at = "2026-11-28T10:00:00.25Z".parse().unwrap();
    invocations.poll(Uuid::nil(), requested_at).await
}

async fn lambda_that_answers(statuses: &[u16]) -> MockServer {
    let lambda = MockServer::start().await;
    for status in statuses {
        Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(*status).set_body_string("as told"))
            .up_to_n_times(1)
            .expect(1)
            .mount(&lambda)
            .await;
    }
    lambda
}

#[tokio::test]
async fn the_poller_is_left_a_signed_event_and_nobody_waits_for_its_result() {
    let lambda = MockServer::start().await;
    let signature = "^AWS4-HMAC-SHA256 Credential=id/[0-9]{8}/eu-central-1/lambda/aws4_request, \
                     SignedHeaders=content-type;host;x-amz-date;x-amz-invocation-type, Signature=";
    Mock::given(method("POST"))
        .and(path(format!(
            "/2015-03-31/functions/{}/invocations",
            ARN.replace(':', "%3A")
        )))
        .and(header("x-amz-invocation-type", "Event"))
        .and(header_regex("authorization", signature))
        .and(body_json(json!({
            "job_id": Uuid::nil(),
            "requested_at": "2026-11-28T10:00:00.250Z"
        })))
        .respond_with(ResponseTemplate::new(202))
        .expect(1)
        .mount(&lambda)
        .await;

    poll(&poller(Some(lambda.uri()))).await.unwrap();
}

#[tokio::test]
async fn what_may_pass_is_tried_twice() {
    let lambda = lambda_that_answers(&[429, 202]).await;
    poll(&poller(Some(lambda.uri()))).await.unwrap();

    let lambda = lambda_that_answers(&[503, 500]).await;
    let failed = poll(&poller(Some(lambda.uri()))).await;
    assert!(
        matches!(&failed, Err(InvocationError::Unavailable(reason)) if reason.contains("500")),
        "{failed:?}"
    );

    drop(lambda);
    let nowhere = poll(&poller(Some("http://127.0.0.1:9".to_owned()))).await;
    assert!(
        matches!(&nowhere, Err(InvocationError::Unavailable(_))),
        "{nowhere:?}"
    );
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    for status in [400, 403, 404] {
        let lambda = lambda_that_answers(&[status]).await;
        let refused = poll(&poller(Some(lambda.uri()))).await;
        assert!(
            matches!(&refused, Err(InvocationError::Refused(reason)) if reason.contains("as told")),
            "{refused:?}"
        );
    }
}

#[test]
fn without_an_endpoint_lambda_is_that_of_the_function_s_region() {
    let connection = Connection {
        http: http_client().unwrap(),
        credentials: SharedCredentialsProvider::new(Credentials::new("", "", None, None, "test")),
        endpoint: None,
    };
    let target = poller(None).target(&connection).unwrap();
    assert_eq!(target.region, "eu-central-1");
    assert_eq!(
        target.url.as_str(),
        "https://lambda.eu-central-1.amazonaws.com/2015-03-31/functions/\
         arn%3Aaws%3Alambda%3Aeu-central-1%3A000000000000%3Afunction%3Amarket-data-poller/invocations"
    );
}
