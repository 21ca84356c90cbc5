use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use wiremock::matchers::{body_string, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

/// Far longer than an answer of a local server takes.
const AMPLE: Duration = Duration::from_secs(30);

async fn call(
    read_timeout: Duration,
    request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(AMPLE)
        .read_timeout(read_timeout);

    let call = Clients::default()
        .connector(&settings.build())
        .call(request);
    tokio::time::timeout(2 * AMPLE, call)
        .await
        .expect("an end of the call")
}

fn get(address: &str) -> HttpRequest {
    HttpRequest::get(address).unwrap()
}

/// A server that calls `serve` with its only connection, after it has read part of the request.
async fn server<F: Future<Output = ()> + Send + 'static>(
    serve: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());

    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let _read = connection.read(&mut [0; 1_024]).await.unwrap();
        serve(connection).await;
    });

    address
}

#[tokio::test]
async fn a_request_goes_out_and_its_answer_comes_back_as_they_are() {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(503)
        .insert_header("x-amzn-errortype", "Busy")
        .insert_header("content-encoding", "gzip")
        .set_body_string("not gzip");
    Mock::given(method("PUT"))
        .and(path("/schedules/a%20b"))
        .and(query_param("group", "jobs"))
        .and(header("authorization", "signed"))
        .and(header("content-length", "5"))
        .and(body_string("hello"))
        .respond_with(answer)
        .mount(&server)
        .await;

    let mut request = HttpRequest::new(SdkBody::from("hello"));
    request.set_method("PUT").unwrap();
    request
        .set_uri(format!("{}/schedules/a%20b?group=jobs", server.uri()))
        .unwrap();
    request.headers_mut().insert("authorization", "signed");

    let answer = call(AMPLE, request).await.unwrap();

    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers().get("x-amzn-errortype")
        ),
        (503, Some("Busy"))
    );
    let body = Body::wrap(answer.into_body());
    let body = reqwest::Response::from(http::Response::new(body))
        .text()
        .await
        .unwrap();
    assert_eq!(body, "not gzip");
}

#[tokio::test]
async fn a_redirection_is_an_answer_like_any_other() {
    let server = MockServer::start().await;
    let elsewhere = ResponseTemplate::new(307).insert_header("location", "/elsewhere");
    Mock::given(path("/"))
        .respond_with(elsewhere)
        .expect(1)
        .mount(&server)
        .await;

    assert_eq!(
        call(AMPLE, get(&server.uri()))
            .await
            .unwrap()
            .status()
            .as_u16(),
        307
    );
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_a_failure_of_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);

    let error = call(AMPLE, get(&address)).await.unwrap_err();
    assert!(
        error.is_io() && format!("{error:?}").contains("NeverConnected"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_is_a_failure_of_the_connection() {
    let address = server(async |connection| drop(connection)).await;
    let error = call(AMPLE, get(&address)).await.unwrap_err();

    assert!(error.is_io(), "{error:?}");
}

#[tokio::test]
async fn a_server_that_says_nothing_has_no_longer_than_the_read_timeout() {
    let address = server(|mut connection| async move {
        let _until_closed = connection.read(&mut [0; 1]).await;
    })
    .await;

    let error = call(Duration::from_millis(50), get(&address))
        .await
        .unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
}

#[tokio::test]
async fn a_request_that_cannot_be_made_is_the_caller_s_fault() {
    let error = call(AMPLE, get("ftp://127.0.0.1/")).await.unwrap_err();
    assert!(error.is_user(), "{error:?}");
}

#[tokio::test]
async fn calls_with_the_same_limit_on_connecting_share_a_client_and_so_its_connections() {
    let server = MockServer::start().await;
    let (clients, settings) = (Clients::default(), HttpConnectorSettings::default());

    for _ in 0..2 {
        clients
            .connector(&settings)
            .call(get(&server.uri()))
            .await
            .unwrap();
    }
    assert_eq!(clients.0.lock().unwrap().len(), 1);
}
