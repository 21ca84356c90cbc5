//! Whom the client connects to, and how often.

use std::process::Command;

use super::server::{KeptAlive, Play, Server};
use super::*;

/// Names the server that the test in the child process asks.
const ASKED: &str = "TEST_PROVIDER_ADDRESS";

#[tokio::test]
async fn all_providers_of_an_instance_share_connections_and_use_them_again() {
    let server = KeptAlive::answering(r#"{"c":7,"t":1767623701}"#).await;
    let http = Arc::new(HttpClient::new(None));
    let finnhub = |name| Web::new(name, Finnhub, source(&server.address), Arc::clone(&http));
    let (one, other) = (finnhub(providers::FINNHUB), finnhub(providers::TIINGO));

    for _ in 0..5 {
        for provider in [&one, &other] {
            let answer = provider.fetch(&symbols(&["KO"]), Utc::now()).await.unwrap();
            assert!(answer.quotes[0].1.is_ok(), "{answer:?}");
        }
    }
    assert_eq!(server.requests(), 10);
    // A connection may come back a moment too late for the next request.
    assert!(server.connections() <= 2, "{}", server.connections());
}

#[tokio::test]
async fn a_configured_proxy_is_asked_for_every_provider() {
    let proxy = Server::playing(Play::Answer(200, "", r#"{"c":7,"t":1767623701}"#)).await;
    let http = Arc::new(HttpClient::new(Some(Secret::new(proxy.address.clone()))));

    // Nobody could connect to it.
    let source = source("http://provider.invalid");
    let finnhub = Web::new(providers::FINNHUB, Finnhub, source, http);
    let answer = finnhub.fetch(&symbols(&["KO"]), Utc::now()).await.unwrap();

    assert!(answer.quotes[0].1.is_ok(), "{answer:?}");
    assert_eq!(proxy.requests(), 1);
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_not_asked() {
    let proxy = Server::playing(Play::Answer(502, "", "")).await;
    let server = Server::playing(Play::Answer(200, "", r#"{"c":7,"t":1767623701}"#)).await;

    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--ignored", "--exact"]);
    child.arg("provider::web::tests::connections::asks_the_server_that_the_parent_names");
    child.env(ASKED, &server.address);
    for variable in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "all_proxy",
    ] {
        child.env(variable, &proxy.address);
    }
    child.env_remove("NO_PROXY").env_remove("no_proxy");

    let ended = tokio::task::spawn_blocking(move || child.output()).await;
    let ended = ended.unwrap().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!((server.requests(), proxy.requests()), (1, 0));
}

#[tokio::test]
#[ignore = "a part of the test of the environment's proxy, which runs it in a process of its own"]
#[expect(
    clippy::disallowed_methods,
    reason = "the parent's only way to name its server"
)]
async fn asks_the_server_that_the_parent_names() {
    let address = std::env::var(ASKED).unwrap();
    let finnhub = web(providers::FINNHUB, Finnhub, &address, REQUEST_TIMEOUT);

    let answer = finnhub.fetch(&symbols(&["KO"]), Utc::now()).await.unwrap();
    assert!(answer.quotes[0].1.is_ok(), "{answer:?}");
}
