//! Functions that run elsewhere, invoked through Lambda's Invoke API, which `cargo lambda watch` or
//! another emulator serves.
//!
//! `cargo lambda watch` differs from Lambda. It builds a function when it is first invoked, answers
//! a handler's error with status 500 and no header, has no asynchronous invocations, and never
//! answers for a process that died. So a function's first answer may take longer. From then on, the
//! function's own timeout limits the wait.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use reqwest::{StatusCode, Url};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::function_host::failure;
use crate::invoke_api::FUNCTION_ERROR;
use crate::invoker::{InvokeError, Invoker, Outcome};
use crate::template::FunctionDefinition;

/// Time limit for a host to build a function, which it does when the function is first invoked.
pub(crate) const BUILD: Duration = Duration::from_secs(600);
const CONNECTION: Duration = Duration::from_secs(1);

/// The host at an address.
pub(crate) struct RemoteHost {
    url: Url,
    client: reqwest::Client,
    functions: BTreeMap<String, Remote>,
    /// Whether the last invocation reached it, so that an outage is logged once.
    reached: AtomicBool,
    stop: CancellationToken,
}

/// A function as the host knows it.
struct Remote {
    binary: String,
    timeout: Duration,
    /// Whether it has answered before, so that it is built already.
    answered: AtomicBool,
}

impl RemoteHost {
    /// Creates the host at `url` for `functions`, which it knows by the names of their binaries.
    pub(crate) fn new(url: Url, functions: &[FunctionDefinition]) -> anyhow::Result<Self> {
        let functions = functions.iter().map(|function| {
            let (binary, timeout) = (function.binary.clone(), function.timeout);
            (
                function.name.clone(),
                Remote {
                    binary,
                    timeout,
                    answered: AtomicBool::new(false),
                },
            )
        });
        let functions = functions.collect();

        let client = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECTION)
            .build()?;

        Ok(Self {
            url,
            client,
            functions,
            reached: AtomicBool::new(true),
            stop: CancellationToken::new(),
        })
    }

    /// Returns the address, without a slash at its end.
    pub(crate) fn url(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// Returns the command that starts `cargo lambda` there, with the variables in `file`.
    pub(crate) fn start_command(&self, file: &str) -> String {
        let host = self
            .url
            .host_str()
            .unwrap_or_default()
            .trim_matches(['[', ']']);
        let port = self.url.port_or_known_default().unwrap_or_default();

        format!("cargo lambda watch --invoke-address {host} --invoke-port {port} --env-file {file}")
    }

    /// Whether it accepts connections. No request can tell more, because some hosts never answer
    /// what they do not know.
    pub(crate) async fn takes_connections(&self) -> bool {
        let (Some(host), Some(port)) = (self.url.host_str(), self.url.port_or_known_default())
        else {
            return false;
        };

        // An IPv6 address has brackets only in a URL.
        let address = (host.trim_matches(['[', ']']), port);
        matches!(
            timeout(CONNECTION, TcpStream::connect(address)).await,
            Ok(Ok(_))
        )
    }

    /// Ends all invocations, present and future, with [`InvokeError::Stopping`].
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    async fn invoke_within(
        &self,
        function: &Remote,
        payload: Bytes,
    ) -> Result<Outcome, InvokeError> {
        let first = !function.answered.load(Ordering::Relaxed);
        let limit = if first {
            function.timeout + BUILD
        } else {
            function.timeout
        };

        match timeout(limit, self.post(function, payload)).await {
            Ok(answer) => {
                function
                    .answered
                    .fetch_or(answer.is_ok(), Ordering::Relaxed);
                answer
            }
            Err(_elapsed) => {
                let (binary, url) = (&function.binary, self.url());
                tracing::warn!(
                    function = binary,
                    url,
                    "{binary} at {url} did not answer within {} s; cargo lambda watch does not replace a process that \
                     died: if it did, restart it there",
                    limit.as_secs()
                );

                let id = Uuid::new_v4().to_string();
                Ok(Outcome::FunctionError(failure::timed_out(
                    &id,
                    function.timeout,
                )))
            }
        }
    }

    async fn post(&self, function: &Remote, payload: Bytes) -> Result<Outcome, InvokeError> {
        let binary = &function.binary;
        let url = format!("{}/2015-03-31/functions/{binary}/invocations", self.url());

        let request = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .body(payload);

        let answer = async {
            let response = request.send().await?;
            let (status, failed) = (
                response.status(),
                response.headers().contains_key(FUNCTION_ERROR),
            );
            Ok::<_, reqwest::Error>((status, failed, response.bytes().await?))
        };

        match answer.await {
            Ok((status, failed, body)) => {
                self.reached();
                self.read(binary, status, failed, body)
            }
            Err(error) => Err(self.unreachable(&error)),
        }
    }

    fn read(
        &self,
        binary: &str,
        status: StatusCode,
        failed: bool,
        body: Bytes,
    ) -> Result<Outcome, InvokeError> {
        let url = self.url();

        match status {
            StatusCode::OK if failed => Ok(Outcome::FunctionError(failure::reported(body))),
            StatusCode::OK => Ok(Outcome::Success(body)),
            StatusCode::INTERNAL_SERVER_ERROR => {
                Ok(Outcome::FunctionError(failure::reported(body)))
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => {
                Ok(Outcome::FunctionError(failure::gave_up(url)))
            }
            StatusCode::PAYLOAD_TOO_LARGE => Ok(Outcome::FunctionError(failure::event_too_large())),
            StatusCode::TOO_MANY_REQUESTS => Err(InvokeError::Throttled(binary.to_owned())),
            StatusCode::NOT_FOUND => {
                tracing::warn!(
                    function = binary,
                    url,
                    "the host at {url} has no function {binary}"
                );
                Err(InvokeError::NoSuchFunction(binary.to_owned()))
            }
            other => Err(InvokeError::Unreachable(format!(
                "the functions' host at {url} answered {other}"
            ))),
        }
    }

    fn reached(&self) {
        if !self.reached.swap(true, Ordering::Relaxed) {
            let url = self.url();
            tracing::info!(url, "the functions' host at {url} answers again");
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> InvokeError {
        let url = self.url();
        let what = if error.is_connect() {
            format!("no answer from {url}")
        } else {
            format!("the connection broke to {url}")
        };
        let message = format!("{what}, where the functions run (--functions)");

        if self.reached.swap(false, Ordering::Relaxed) {
            tracing::warn!(url, "{message}");
        }
        InvokeError::Unreachable(message)
    }
}

impl Invoker for RemoteHost {
    fn invoke<'a>(
        &'a self,
        function: &'a str,
        payload: Bytes,
    ) -> BoxFuture<'a, Result<Outcome, InvokeError>> {
        async move {
            let remote = self.functions.get(function);
            let remote = remote.ok_or_else(|| InvokeError::NoSuchFunction(function.to_owned()))?;

            let answered = self
                .stop
                .run_until_cancelled(self.invoke_within(remote, payload))
                .await;
            answered.unwrap_or(Err(InvokeError::Stopping))
        }
        .boxed()
    }
}

impl fmt::Debug for RemoteHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteHost")
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}

/// Parses a host's address from the command line.
pub(crate) fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| {
        let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && plain
            && url.username().is_empty()
    });

    url.ok_or_else(|| "must be an address such as http://127.0.0.1:9000".to_owned())
}

#[cfg(test)]
mod tests;
