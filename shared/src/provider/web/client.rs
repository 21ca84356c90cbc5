//! The HTTP client of all providers, limited in time, size and redirections.

use std::error::Error;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::Utc;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Proxy, Response, Url};

use super::{Fault, retry_after};
use crate::config::Secret;
use crate::market::{Timestamp, to_microseconds};
use crate::provider::REQUEST_TIMEOUT;

/// Longest wait for a connection. An address that takes longer is not going to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Largest body that is read, after it was decompressed. The longest lists take a quarter of it.
const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;
/// Most redirections followed for one request.
const MAX_REDIRECTS: u32 = 3;
/// Longest body that is a line of text, and no web page.
const LONGEST_LINE: usize = 500;
/// Names us to providers. Yahoo rejects it and gets a header of its own.
const USER_AGENT: &str = concat!("market-data-pipeline/", env!("CARGO_PKG_VERSION"));

/// The client, shared by all providers of an instance, so that each keeps its connections.
#[derive(Debug)]
pub(in crate::provider) struct HttpClient {
    timeout: Duration,
    proxy: Option<Secret>,
    /// Created for the first request, because loading certificates would delay each start of a
    /// function. A failure is not kept: the next request tries again.
    client: OnceLock<Client>,
}

/// What is sent to a provider. Its URL may hold a key, so it is never logged.
pub(in crate::provider) struct Request {
    pub(in crate::provider) url: Url,
    pub(in crate::provider) headers: HeaderMap,
}

/// A response whose body is complete.
#[derive(Debug)]
pub(in crate::provider) struct Received {
    pub(in crate::provider) status: u16,
    pub(in crate::provider) retry_after: Option<Duration>,
    /// As text that Postgres can store.
    pub(in crate::provider) body: String,
    /// When the request for it was sent: the time of a quote whose provider tells none.
    pub(in crate::provider) asked_at: Timestamp,
    pub(in crate::provider) received_at: Timestamp,
    /// How many requests were sent for it: one, and one for each redirection.
    pub(in crate::provider) requests: u32,
}

impl Received {
    /// Whether the body is a line of text, which is a message of the provider. Anything may be in a
    /// web page, such as one of a network that one has to log in to.
    pub(in crate::provider) fn is_line(&self) -> bool {
        let text = self.body.trim();
        text.len() <= LONGEST_LINE && !text.starts_with(['<', '{', '['])
    }

    /// Whether the body may be JSON. Its first byte tells, and its content type does not: providers
    /// send JSON as `text/plain`, and web pages with status 200.
    pub(in crate::provider) fn looks_like_json(&self) -> bool {
        self.body.trim_start().starts_with(['{', '['])
    }
}

impl HttpClient {
    /// A client that uses this proxy, if one is configured, and never one of the environment.
    pub(in crate::provider) fn new(proxy: Option<Secret>) -> Self {
        Self::with_timeout(proxy, REQUEST_TIMEOUT)
    }

    /// The same with another limit than [`REQUEST_TIMEOUT`].
    pub(in crate::provider) fn with_timeout(proxy: Option<Secret>, timeout: Duration) -> Self {
        Self {
            timeout,
            proxy,
            client: OnceLock::new(),
        }
    }

    /// The longest that a caller waits for a response, or for several that make one answer.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sends a request and reads the whole response. Redirections are followed within one origin
    /// only: others lead to pages that ask for consent, and would receive our key. Each adds to
    /// `redirections` before it is followed, so that it counts even if nothing comes of it.
    pub(super) async fn get(
        &self,
        request: Request,
        redirections: &AtomicU32,
    ) -> Result<Received, Fault> {
        let client = self.client()?;
        let asked_at = to_microseconds(Utc::now());
        let mut url = request.url;
        let mut requests = 1;

        loop {
            let sending = client.get(url.clone()).headers(request.headers.clone());
            let response = sending.send().await.map_err(fault)?;

            match redirection(&url, &response) {
                Some(next) if requests <= MAX_REDIRECTS => url = next,
                _ => return Self::receive(response, asked_at, requests).await,
            }
            redirections.fetch_add(1, Ordering::Relaxed);
            requests += 1;
        }
    }

    /// Reads the body of a response.
    async fn receive(
        mut response: Response,
        asked_at: Timestamp,
        requests: u32,
    ) -> Result<Received, Fault> {
        let status = response.status().as_u16();
        let told = response.headers().get(RETRY_AFTER);
        let told = told.and_then(|value| value.to_str().ok());
        let told = told.map(str::to_owned);

        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(fault)? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(Fault::Malformed("more than 2 MB".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }

        let received_at = to_microseconds(Utc::now());
        Ok(Received {
            status,
            retry_after: retry_after::told(told.as_deref(), received_at),
            body: text(&body),
            asked_at,
            received_at,
            requests,
        })
    }

    fn client(&self) -> Result<&Client, Fault> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }

        let built = self.build()?;
        Ok(self.client.get_or_init(|| built))
    }

    fn build(&self) -> Result<Client, Fault> {
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .timeout(self.timeout)
            .connect_timeout(CONNECT_TIMEOUT)
            // Followed by hand, because each one is a request of the provider's budget.
            .redirect(Policy::none())
            // A URL may hold a key.
            .referer(false)
            .no_proxy();

        let client = match self.proxy.as_ref().map(|url| Proxy::all(url.expose())) {
            None => client.build(),
            Some(proxy) => proxy.and_then(|proxy| client.proxy(proxy).build()),
        };
        client.map_err(|error| {
            let error = error.without_url();
            tracing::warn!(%error, "no HTTP client for providers");
            Fault::Unavailable("the HTTP client could not be set up".to_owned())
        })
    }
}

/// Where a response sends us, if that is at the same origin.
fn redirection(from: &Url, response: &Response) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }

    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let to = from.join(location).ok()?;
    (to.origin() == from.origin()).then_some(to)
}

/// A body as text that Postgres can store: U+FFFD replaces bytes that are not UTF-8, and NUL.
///
/// In a string that we do not read, such a byte does no harm. In any other place it makes the entry
/// unreadable.
pub(in crate::provider) fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).replace('\0', "\u{fffd}")
}

/// Logs the error of a request without its URL, and returns it as a fault.
fn fault(error: reqwest::Error) -> Fault {
    let error = error.without_url();
    let cause = std::iter::successors(error.source(), |&cause| cause.source()).last();
    tracing::debug!(%error, cause = cause.map(tracing::field::display), "a request to a provider failed");

    // Checked before the timeout: a timeout while connecting is both.
    if error.is_connect() {
        Fault::Unavailable("no connection to it".to_owned())
    } else if error.is_timeout() {
        Fault::TimedOut
    } else {
        Fault::Unavailable("the connection broke off".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_could_not_be_set_up_is_tried_again_by_the_next_request() {
        let no_url = Some(Secret::new("no proxy's URL".to_owned()));
        let http = HttpClient::new(no_url);
        let to = || Request::to(Url::parse("http://127.0.0.1:9").unwrap());

        for _ in 0..2 {
            let failed = http.get(to(), &AtomicU32::new(0)).await.unwrap_err();
            let reason = "the HTTP client could not be set up".to_owned();
            assert_eq!(failed, Fault::Unavailable(reason));
            assert!(http.client.get().is_none());
        }
    }
}
