//! A remote host in front of servers that answer like `cargo lambda watch` and like Lambda, and of
//! none.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode as Status;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use tokio::net::TcpListener;

use super::*;

const FAILURE: &str = r#"{"errorType":"Told","errorMessage":"to fail"}"#;

fn functions(timeout: Duration) -> Vec<FunctionDefinition> {
    [
        "echo",
        "fails",
        "fails-in-lambda",
        "dead",
        "missing",
        "gives-up",
        "busy",
        "broken",
    ]
    .map(|binary| FunctionDefinition {
        name: format!("market-data-{binary}"),
        binary: binary.to_owned(),
        arn: format!("arn:aws:lambda:us-east-1:000000000000:function:market-data-{binary}"),
        timeout,
        memory_mb: 128,
        reserved_concurrency: None,
        environment: BTreeMap::new(),
        async_retry_attempts: 0,
        async_max_age: Duration::from_secs(60),
    })
    .into()
}

/// A server whose functions do what their names say. `dead` answers only its first request.
async fn host() -> SocketAddr {
    let died = AtomicBool::new(false);
    let died: &'static AtomicBool = Box::leak(Box::new(died));
    let answer = async move |Path(function): Path<String>, body: Bytes| -> Response {
        match function.as_str() {
            "echo" => body.into_response(),
            "fails" => (Status::INTERNAL_SERVER_ERROR, FAILURE).into_response(),
            "fails-in-lambda" => ([(FUNCTION_ERROR, "Unhandled")], FAILURE).into_response(),
            "dead" if died.swap(true, Ordering::Relaxed) => std::future::pending().await,
            "dead" => "{}".into_response(),
            "gives-up" => Status::REQUEST_TIMEOUT.into_response(),
            "busy" => Status::TOO_MANY_REQUESTS.into_response(),
            "broken" => Status::BAD_GATEWAY.into_response(),
            _ => (Status::NOT_FOUND, r#"{"title":"Missing function"}"#).into_response(),
        }
    };

    let router = Router::new().route("/2015-03-31/functions/{function}/invocations", post(answer));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

fn remote(address: SocketAddr, timeout: Duration) -> RemoteHost {
    RemoteHost::new(
        format!("http://{address}").parse().unwrap(),
        &functions(timeout),
    )
    .unwrap()
}

async fn invoke(host: &RemoteHost, binary: &str) -> Result<Outcome, InvokeError> {
    host.invoke(&format!("market-data-{binary}"), Bytes::from_static(b"[1]"))
        .await
}

fn error_type(answer: Result<Outcome, InvokeError>) -> String {
    match answer {
        Ok(Outcome::FunctionError(error)) => error.error_type,
        other => panic!("no function error but {other:?}"),
    }
}

#[tokio::test]
async fn a_function_is_called_by_its_binary_and_its_answer_comes_back() {
    let host = remote(host().await, Duration::from_secs(30));
    assert_eq!(
        invoke(&host, "echo").await,
        Ok(Outcome::Success(Bytes::from_static(b"[1]")))
    );
}

#[tokio::test]
async fn an_error_is_the_function_s_whether_a_header_or_only_the_status_says_so() {
    let host = remote(host().await, Duration::from_secs(30));
    for binary in ["fails", "fails-in-lambda"] {
        assert_eq!(error_type(invoke(&host, binary).await), "Told", "{binary}");
    }
    assert_eq!(
        error_type(invoke(&host, "gives-up").await),
        "Sandbox.Timedout"
    );
}

#[tokio::test]
async fn what_the_host_could_not_do_is_not_the_function_s_error() {
    let host = remote(host().await, Duration::from_secs(30));
    assert_eq!(
        invoke(&host, "missing").await,
        Err(InvokeError::NoSuchFunction("missing".to_owned()))
    );
    assert_eq!(
        invoke(&host, "busy").await,
        Err(InvokeError::Throttled("busy".to_owned()))
    );
    assert!(matches!(
        invoke(&host, "broken").await,
        Err(InvokeError::Unreachable(_))
    ));
}

#[tokio::test]
async fn a_dead_process_is_given_up_after_the_function_s_own_timeout() {
    let host = remote(host().await, Duration::from_millis(100));
    assert!(
        matches!(invoke(&host, "dead").await, Ok(Outcome::Success(_))),
        "it lives"
    );
    assert_eq!(error_type(invoke(&host, "dead").await), "Sandbox.Timedout");
}

#[tokio::test]
async fn a_stop_ends_the_wait_for_an_answer() {
    let host = remote(host().await, Duration::from_secs(30));
    invoke(&host, "dead").await.unwrap();
    let (answer, ()) = tokio::join!(invoke(&host, "dead"), async { host.stop() });
    assert_eq!(answer, Err(InvokeError::Stopping));
}

#[tokio::test]
async fn a_host_that_is_not_there_is_named_with_the_flag() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);

    let host = remote(address, Duration::from_secs(30));
    assert!(!host.takes_connections().await);

    let expected =
        format!("no answer from http://{address}, where the functions run (--functions)");
    assert_eq!(
        invoke(&host, "echo").await,
        Err(InvokeError::Unreachable(expected))
    );
}

#[test]
fn an_address_is_a_host_and_a_port_and_nothing_more() {
    for text in [
        "http://127.0.0.1:9000",
        "http://[::1]:9000/",
        "https://functions:443",
    ] {
        assert!(address(text).is_ok(), "{text}");
    }

    for text in [
        "127.0.0.1:9000",
        "ftp://x",
        "http://x/2015-03-31",
        "http://me@x",
        "http://",
        "nonsense",
    ] {
        assert!(
            address(text).unwrap_err().contains("http://127.0.0.1:9000"),
            "{text}"
        );
    }
}

#[test]
fn the_command_that_starts_a_host_has_its_address() {
    let host = RemoteHost::new("http://[::1]:9100".parse().unwrap(), &[]).unwrap();
    assert_eq!(
        host.start_command(".data/functions.env"),
        "cargo lambda watch --invoke-address ::1 --invoke-port 9100 --env-file .data/functions.env"
    );
}
