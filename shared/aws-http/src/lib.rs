//! An HTTP client for the AWS SDK, based on the library that all other requests use.
//!
//! The SDK's own client would be a second one in each binary, with HTTP/2, which is not needed: a
//! tenth of a function's size.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use reqwest::redirect::Policy;
use reqwest::{Body, Client, ClientBuilder, Request};

/// An HTTP client for a configuration of the SDK. Clones share their connections, so one client
/// serves several services.
#[must_use]
pub fn client() -> SharedHttpClient {
    SharedHttpClient::new(Clients::default())
}

/// A client for requests that are signed without the SDK.
///
/// Nothing may change what was signed or what the service sends. As in the SDK's own client, no
/// proxy is used: it would not reach an AWS emulator on this machine or beside this container.
pub fn signing() -> ClientBuilder {
    Client::builder()
        .redirect(Policy::none())
        .referer(false)
        .no_gzip()
        .no_proxy()
}

/// The clients in use, by connect timeout, which reqwest sets only for a whole client.
#[derive(Clone, Debug, Default)]
struct Clients(Arc<Mutex<HashMap<Option<Duration>, Client>>>);

impl Clients {
    /// The client with this timeout, created at its first request, because that loads the
    /// certificates.
    fn get(&self, connect_timeout: Option<Duration>) -> Result<Client, reqwest::Error> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&connect_timeout) {
            return Ok(client.clone());
        }

        let mut builder = signing();
        if let Some(timeout) = connect_timeout {
            builder = builder.connect_timeout(timeout);
        }

        let client = builder.build()?;
        clients.insert(connect_timeout, client.clone());

        Ok(client)
    }

    fn connector(&self, settings: &HttpConnectorSettings) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            clients: self.clone(),
            connect_timeout: settings.connect_timeout(),
            read_timeout: settings.read_timeout(),
        })
    }
}

impl HttpClient for Clients {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        self.connector(settings)
    }
}

/// Sends requests within two time limits: one for connecting, one until the response begins.
#[derive(Debug)]
struct Connector {
    clients: Clients,
    connect_timeout: Option<Duration>,
    read_timeout: Option<Duration>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let read_timeout = self.read_timeout;
        match self.clients.get(self.connect_timeout) {
            Ok(client) => HttpConnectorFuture::new(async move {
                let answer = send(client, request);
                match read_timeout {
                    None => answer.await,
                    Some(limit) => tokio::time::timeout(limit, answer)
                        .await
                        .unwrap_or_else(|elapsed| Err(ConnectorError::timeout(elapsed.into()))),
                }
            }),
            Err(error) => HttpConnectorFuture::ready(Err(failure(error))),
        }
    }
}

async fn send(client: Client, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request
        .try_into_http1x()
        .map_err(|error| ConnectorError::user(error.into()))?;
    let request = Request::try_from(request.map(Body::wrap)).map_err(failure)?;

    let response = http::Response::from(client.execute(request).await.map_err(failure)?);
    HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
        .map_err(|error| ConnectorError::other(error.into(), None))
}

/// Classifies a failure. The SDK retries by its kind, and does not retry a request that could not
/// be built.
fn failure(error: reqwest::Error) -> ConnectorError {
    let never_connected = error.is_connect();
    let failure = if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else if error.is_builder() {
        ConnectorError::user(error.into())
    } else {
        ConnectorError::io(error.into())
    };

    if never_connected {
        failure.never_connected()
    } else {
        failure
    }
}

#[cfg(test)]
mod tests;
