//! Invokes the poller through Lambda's Invoke API, without waiting for its result.
//!
//! It is a single kind of request, so it is signed here with AWS's own library. The SDK of Lambda
//! would add seventy operations to each build.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use backon::{ConstantBuilder, Retryable as _};
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::Serialize;
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::config::InvocationSettings;
use crate::market::Timestamp;

/// Longest that one attempt takes. The api answers within 5 s even if Lambda does not.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1_200);
/// Pause before the second and last attempt.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Most bytes of Lambda's answer that a log line repeats.
const SHOWN_ANSWER: usize = 500;

/// Lambda did not accept an event for the poller. The reason is for logs, not for answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvocationError {
    /// Lambda cannot be reached, is overloaded or limits the rate: waiting may help.
    #[error("Lambda is not available: {0}")]
    Unavailable(String),
    /// Lambda refuses the request, or it cannot be signed: waiting does not help.
    #[error("Lambda does not accept the request: {0}")]
    Refused(String),
}

/// The poller as the API invokes it.
#[derive(Clone, Debug)]
pub struct Invocations {
    /// Created at the first call: loading credentials and certificates would delay every start of a
    /// function.
    connection: Arc<OnceCell<Connection>>,
    settings: InvocationSettings,
}

/// What requests are sent and signed with.
#[derive(Debug)]
struct Connection {
    http: Client,
    credentials: SharedCredentialsProvider,
    /// The endpoint of all services, which the SDK's configuration may name.
    endpoint: Option<String>,
}

/// The event of a run that a request asked for.
#[derive(Serialize)]
struct RunRequest {
    job_id: Uuid,
    requested_at: Timestamp,
}

impl Invocations {
    /// Reads credentials as every AWS SDK does, at the first call.
    #[must_use]
    pub fn from_config(settings: &InvocationSettings) -> Self {
        Self {
            connection: Arc::default(),
            settings: settings.clone(),
        }
    }

    /// Uses these credentials.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(
        settings: &InvocationSettings,
        credentials: SharedCredentialsProvider,
    ) -> Result<Self, InvocationError> {
        let connection = Connection {
            http: http_client()?,
            credentials,
            endpoint: None,
        };
        Ok(Self {
            connection: Arc::new(OnceCell::from(connection)),
            settings: settings.clone(),
        })
    }

    /// Has the poller poll the run that was asked for at `requested_at`. Repeated calls make
    /// the poller poll it once.
    ///
    /// # Errors
    /// When Lambda does not accept the event, also not at a second attempt.
    pub async fn poll(&self, job_id: Uuid, requested_at: Timestamp) -> Result<(), InvocationError> {
        let event = RunRequest {
            job_id,
            requested_at,
        };
        let event = serde_json::to_vec(&event).map_err(refused)?;

        let once = ConstantBuilder::default()
            .with_delay(RETRY_PAUSE)
            .with_max_times(1);
        let attempt = || self.attempt(&event);
        attempt
            .retry(once)
            .when(|error| matches!(error, InvocationError::Unavailable(_)))
            .await
    }

    async fn attempt(&self, event: &[u8]) -> Result<(), InvocationError> {
        let connection = self.connection.get_or_try_init(connect).await?;
        let request = self.signed(connection, event).await?;

        let response = request.send().await.map_err(unavailable)?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }

        let answer = response.text().await.unwrap_or_default();
        let answer: String = answer.chars().take(SHOWN_ANSWER).collect();
        let reason = format!("status {status}: {answer}");
        Err(
            if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
                InvocationError::Unavailable(reason)
            } else {
                InvocationError::Refused(reason)
            },
        )
    }

    /// The signed request that leaves `event` for the poller.
    async fn signed(
        &self,
        connection: &Connection,
        event: &[u8],
    ) -> Result<RequestBuilder, InvocationError> {
        let Target { url, region } = self.target(connection)?;
        let credentials = connection.credentials.provide_credentials().await;
        let identity = credentials.map_err(refused)?.into();
        let headers = [
            ("content-type", "application/json"),
            ("x-amz-invocation-type", "Event"),
        ];

        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&region)
            .name("lambda")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(refused)?;
        let body = SignableBody::Bytes(event);
        let signable = SignableRequest::new("POST", url.as_str(), headers.into_iter(), body)
            .map_err(refused)?;
        let signature = sign(signable, &parameters.into()).map_err(refused)?;
        let (signature, _) = signature.into_parts();

        let request = connection.http.post(url).body(event.to_vec());
        let headers = headers.into_iter().chain(signature.headers());
        Ok(headers.fold(request, |request, (name, value)| {
            request.header(name, value)
        }))
    }

    /// Where the poller is invoked. Its ARN names the region.
    fn target(&self, connection: &Connection) -> Result<Target, InvocationError> {
        let arn = &self.settings.function_arn;
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let [_, partition, "lambda", region, ..] = *parts.as_slice() else {
            let reason = format!("SCHEDULE_TARGET_ARN is not a function's ARN: {arn}");
            return Err(InvocationError::Refused(reason));
        };

        let endpoint = self.settings.endpoint.as_ref();
        let endpoint = endpoint.or(connection.endpoint.as_ref());
        let endpoint = endpoint.map_or_else(
            || {
                let china = if partition == "aws-cn" { ".cn" } else { "" };
                format!("https://lambda.{region}.amazonaws.com{china}")
            },
            |endpoint| endpoint.trim_end_matches('/').to_owned(),
        );

        // Escaped as the SDK does: the signature covers the spelling.
        let name = arn.replace(':', "%3A").replace('$', "%24");
        let url = format!("{endpoint}/2015-03-31/functions/{name}/invocations");
        Ok(Target {
            url: Url::parse(&url).map_err(refused)?,
            region: region.to_owned(),
        })
    }
}

/// Where a request is sent, and the region for which it is signed.
struct Target {
    url: Url,
    region: String,
}

async fn connect() -> Result<Connection, InvocationError> {
    // Boxed, because the future is large and would be part of every call's future.
    let sdk = aws_config::defaults(BehaviorVersion::latest()).http_client(aws_http::client());
    let sdk = Box::pin(sdk.load()).await;

    let credentials = sdk.credentials_provider();
    let missing = || InvocationError::Refused("no credentials are configured".to_owned());
    Ok(Connection {
        http: http_client()?,
        credentials: credentials.ok_or_else(missing)?,
        endpoint: sdk.endpoint_url().map(str::to_owned),
    })
}

fn http_client() -> Result<Client, InvocationError> {
    let client = aws_http::signing().timeout(ATTEMPT_TIMEOUT).build();
    client.map_err(refused)
}

fn refused(error: impl std::error::Error) -> InvocationError {
    InvocationError::Refused(error.to_string())
}

fn unavailable(error: reqwest::Error) -> InvocationError {
    InvocationError::Unavailable(error.without_url().to_string())
}

#[cfg(test)]
mod tests;
