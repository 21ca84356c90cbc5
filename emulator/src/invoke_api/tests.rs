//! The API over real connections, in front of a function that tests control.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Mutex;

use futures::future::BoxFuture;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::*;
use crate::invoker::{FunctionError, Outcome};

const FUNCTION: &str = "market-data-api";
/// A function that never answers.
const SILENT: &str = "market-data-silent";
const PATIENCE: Duration = Duration::from_secs(30);

type Answer = Result<Outcome, InvokeError>;

/// Returns the given answers in turn, then echoes the payload.
#[derive(Debug, Default)]
struct Told {
    answers: Mutex<VecDeque<Answer>>,
    calls: watch::Sender<Vec<(String, Bytes)>>,
}

impl Invoker for Told {
    fn invoke<'a>(&'a self, function: &'a str, payload: Bytes) -> BoxFuture<'a, Answer> {
        if function == SILENT {
            return Box::pin(std::future::pending());
        }
        let told = self.answers.lock().unwrap().pop_front();
        self.calls
            .send_modify(|calls| calls.push((function.to_owned(), payload.clone())));
        Box::pin(async move { told.unwrap_or(Ok(Outcome::Success(payload))) })
    }
}

struct Api {
    address: SocketAddr,
    told: Arc<Told>,
    client: Client,
    stop: CancellationToken,
}

impl Api {
    async fn telling(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let told = Arc::new(Told {
            answers: Mutex::new(answers.into_iter().collect()),
            calls: watch::Sender::default(),
        });

        let (stop, invoker) = (CancellationToken::new(), Arc::<Told>::clone(&told));
        let functions =
            [(FUNCTION, "api"), (SILENT, "silent")].map(|(name, binary)| FunctionDefinition {
                name: name.to_owned(),
                binary: binary.to_owned(),
                arn: "arn:aws:lambda:us-east-1:000000000000:function:market-data-api".to_owned(),
                timeout: Duration::from_secs(1),
                memory_mb: 128,
                reserved_concurrency: None,
                environment: BTreeMap::new(),
                async_retry_attempts: 2,
                async_max_age: Duration::from_secs(60),
            });

        let until = stop.clone();
        tokio::spawn(async move {
            let allowed = AllowedHosts::default();
            serve_with(
                [Duration::from_millis(1); 2],
                listener,
                &allowed,
                &functions,
                invoker,
                until,
            )
            .await
            .unwrap();
        });

        let client = Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .unwrap();

        Self {
            address,
            told,
            client,
            stop,
        }
    }

    async fn invoke(
        &self,
        function: &str,
        kind: &str,
        payload: impl Into<reqwest::Body>,
    ) -> Response {
        let url = format!(
            "http://{}/2015-03-31/functions/{function}/invocations",
            self.address
        );

        let request = self.client.post(url).header("x-amz-invocation-type", kind);
        request.body(payload).send().await.unwrap()
    }

    async fn calls(&self, count: usize) -> Vec<(String, Bytes)> {
        let mut calls = self.told.calls.subscribe();
        let reached = calls.wait_for(|calls| calls.len() >= count);

        tokio::time::timeout(PATIENCE, reached)
            .await
            .expect("the function was not called")
            .unwrap()
            .clone()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn failed() -> Answer {
    Ok(Outcome::FunctionError(FunctionError {
        error_type: "Told".to_owned(),
        message: "to fail".to_owned(),
        payload: Bytes::from_static(br#"{"errorType":"Told","errorMessage":"to fail"}"#),
    }))
}

async fn refusal(response: Response) -> (u16, String, Value) {
    let name = response.headers()["x-amzn-errortype"]
        .to_str()
        .unwrap()
        .to_owned();

    (
        response.status().as_u16(),
        name,
        response.json().await.unwrap(),
    )
}

#[tokio::test]
async fn the_function_s_answer_comes_back_as_it_is() {
    let api = Api::telling([]).await;
    for called in [
        "market-data-api",
        "api",
        "arn:aws:lambda:us-east-1:000000000000:function:market-data-api:$LATEST",
    ] {
        let response = api
            .invoke(called, "RequestResponse", r#"{"a": 1.50}"#)
            .await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(!response.headers().contains_key(FUNCTION_ERROR));
        assert_eq!(response.headers()["x-amz-executed-version"], "$LATEST");
        assert_eq!(response.text().await.unwrap(), r#"{"a": 1.50}"#);
    }

    assert!(
        api.calls(3)
            .await
            .iter()
            .all(|(function, _)| function == FUNCTION)
    );

    let nothing = api.invoke("api", "", "").await;
    assert_eq!(nothing.text().await.unwrap(), "{}");
}

#[tokio::test]
async fn a_function_s_error_is_a_success_of_the_api_with_a_header_and_the_error_as_body() {
    let api = Api::telling([failed()]).await;
    let response = api.invoke("api", "RequestResponse", "{}").await;

    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[FUNCTION_ERROR], "Unhandled");
    assert_eq!(
        response.json::<Value>().await.unwrap(),
        json!({"errorType": "Told", "errorMessage": "to fail"})
    );
}

#[tokio::test]
async fn an_event_is_accepted_at_once_and_tried_three_times() {
    let api = Api::telling([failed(), failed(), failed()]).await;
    let response = api.invoke("api", "Event", r#"{"n":1}"#).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert_eq!(response.text().await.unwrap(), "");
    assert_eq!(api.calls(3).await.len(), 3);

    // The next event's call is the fourth, so the failed event was not tried again.
    api.invoke("api", "Event", r#"{"n":2}"#).await;
    let calls = api.calls(4).await;
    assert_eq!(calls[3].1.as_ref(), br#"{"n":2}"#);
}

#[tokio::test]
async fn a_dry_run_runs_nothing() {
    let api = Api::telling([]).await;
    assert_eq!(
        api.invoke("api", "DryRun", "{}").await.status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        api.invoke("nope", "DryRun", "{}").await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(api.calls(0).await.len(), 0);
}

#[tokio::test]
async fn what_cannot_be_invoked_is_refused_in_the_shape_of_the_model() {
    let api = Api::telling([]).await;
    let (status, name, body) = refusal(api.invoke("nope", "RequestResponse", "{}").await).await;
    assert_eq!((status, name.as_str()), (404, "ResourceNotFoundException"));
    assert_eq!(body["Type"], "User");
    assert_eq!(
        body["Message"],
        "Function not found: arn:aws:lambda:us-east-1:000000000000:function:nope"
    );

    for (kind, payload, status, name) in [
        (
            "RequestResponse",
            "no json".to_owned(),
            400,
            "InvalidRequestContentException",
        ),
        (
            "Sometimes",
            "{}".to_owned(),
            400,
            "InvalidParameterValueException",
        ),
        (
            "RequestResponse",
            format!("\"{}\"", "x".repeat(MAX_PAYLOAD)),
            413,
            "RequestTooLargeException",
        ),
        (
            "Event",
            format!("\"{}\"", "x".repeat(MAX_EVENT)),
            413,
            "RequestTooLargeException",
        ),
    ] {
        let (answered, called, body) = refusal(api.invoke("api", kind, payload).await).await;
        assert_eq!((answered, called.as_str()), (status, name), "{body}");
        assert!(body["message"].is_string(), "{body}");
    }

    let elsewhere = api
        .client
        .get(format!("http://{}/2015-03-31/functions", api.address))
        .send()
        .await
        .unwrap();
    assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND);
    assert_eq!(api.calls(0).await.len(), 0);
}

#[tokio::test]
async fn a_host_that_is_busy_or_gone_is_told_by_the_status() {
    let api = Api::telling([
        Err(InvokeError::Throttled(FUNCTION.to_owned())),
        Err(InvokeError::Unreachable("no answer".to_owned())),
        Err(InvokeError::Stopping),
    ])
    .await;

    for (status, name) in [
        (429, "TooManyRequestsException"),
        (503, "ServiceException"),
        (503, "ServiceException"),
    ] {
        let (answered, called, _) = refusal(api.invoke("api", "RequestResponse", "{}").await).await;
        assert_eq!((answered, called.as_str()), (status, name));
    }
}

#[tokio::test]
async fn events_for_a_function_that_answers_nothing_hold_up_none_for_another() {
    let api = Api::telling([]).await;
    let mut answers = Vec::new();
    for _ in 0..MOST_KEPT + 1 {
        answers.push(api.invoke(SILENT, "Event", "{}").await.status());
    }

    assert_eq!(answers.pop(), Some(StatusCode::TOO_MANY_REQUESTS));
    assert!(answers.iter().all(|status| *status == StatusCode::ACCEPTED));

    assert_eq!(
        api.invoke("api", "Event", "{}").await.status(),
        StatusCode::ACCEPTED
    );
    assert_eq!(api.calls(1).await.len(), 1);
}

#[tokio::test]
async fn what_a_page_has_a_browser_send_invokes_nothing() {
    let api = Api::telling([]).await;
    let url = format!(
        "http://{}/2015-03-31/functions/api/invocations",
        api.address
    );

    for (name, value) in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("host", "evil.example"),
    ] {
        let request = api
            .client
            .post(&url)
            .header("content-type", "text/plain")
            .header(name, value);
        let (status, error, body) = refusal(request.body("{}").send().await.unwrap()).await;
        assert_eq!(
            (status, error.as_str()),
            (403, "AccessDeniedException"),
            "{name}: {value}"
        );
        assert!(body["message"].is_string(), "{body}");
    }

    assert_eq!(api.calls(0).await.len(), 0);
    let untyped = api.client.post(&url).body("{}").send().await.unwrap();
    assert_eq!(untyped.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_body_of_a_type_that_a_page_may_send_without_asking_is_refused() {
    let api = Api::telling([]).await;
    let url = format!(
        "http://{}/2015-03-31/functions/api/invocations",
        api.address
    );
    let send = async |kind: &str| {
        let request = api.client.post(&url).header("content-type", kind);
        request.body("{}").send().await.unwrap()
    };

    for kind in [
        "text/plain",
        "Text/Plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        let (status, error, _) = refusal(send(kind).await).await;
        assert_eq!(
            (status, error.as_str()),
            (415, "UnsupportedMediaTypeException"),
            "{kind}"
        );
    }
    assert_eq!(api.calls(0).await.len(), 0);

    for kind in ["application/json", "application/octet-stream"] {
        assert_eq!(send(kind).await.status(), StatusCode::OK, "{kind}");
    }
}
