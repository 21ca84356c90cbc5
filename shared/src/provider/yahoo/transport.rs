//! Sends HTTP requests, limited in time and size.

use std::error::Error;
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, StatusCode, Url};

use super::answer::Fault;
use super::tolerant;

/// Longest wait for a connection. An address that takes longer is not going to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Largest body that is read. Twenty sparklines take some tens of kilobytes.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// Most redirections followed for one request.
const MAX_REDIRECTS: usize = 3;

/// A response whose body is complete.
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<String>,
    pub(super) body: String,
}

/// The parsed URL and an HTTP client for it. Each request may take `timeout`, reading the body
/// included.
pub(super) fn endpoint(
    base_url: &str,
    user_agent: &str,
    timeout: Duration,
) -> Result<(Url, Client), Fault> {
    let url = Url::parse(base_url)
        .map_err(|_| Fault::Unavailable("its address is not a URL".to_owned()))?;

    let mut client = Client::builder()
        .user_agent(user_agent)
        .timeout(timeout)
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(Policy::custom(stay_at_home));
    if matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]")) {
        client = client.no_proxy();
    }

    match client.build() {
        Ok(client) => Ok((url, client)),
        Err(error) => {
            tracing::warn!(error = &error as &dyn Error, "no HTTP client for Yahoo");
            Err(Fault::Unavailable(
                "the HTTP client could not be set up".to_owned(),
            ))
        }
    }
}

/// Follows redirections within one origin only: others lead to pages that ask for consent.
fn stay_at_home(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let from = attempt.previous();
    let at_home = from
        .last()
        .is_some_and(|from| from.origin() == attempt.url().origin());

    if at_home && from.len() <= MAX_REDIRECTS {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

/// Requests `url` and reads the whole response.
pub(super) async fn get(client: &Client, url: Url) -> Result<Response, Fault> {
    let mut response = client.get(url).send().await.map_err(fault)?;

    let status = response.status();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok());
    let retry_after = retry_after.map(str::to_owned);

    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(fault)? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(Fault::Malformed("more than 4 MB".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }

    Ok(Response {
        status,
        retry_after,
        body: tolerant::text(&body),
    })
}

/// Logs the error of a request, and returns it as a fault.
fn fault(error: reqwest::Error) -> Fault {
    let error = error.without_url();
    let cause = std::iter::successors(error.source(), |&cause| cause.source()).last();
    tracing::debug!(%error, cause = cause.map(tracing::field::display), "a request to Yahoo failed");

    // Checked before the timeout: a timeout while connecting is both.
    if error.is_connect() {
        Fault::Unavailable("no connection to it".to_owned())
    } else if error.is_timeout() {
        Fault::TimedOut
    } else {
        Fault::Unavailable("the connection broke off".to_owned())
    }
}
