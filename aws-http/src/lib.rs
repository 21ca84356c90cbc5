//! HTTP for AWS's SDK, by the client that everything else here uses.
//!
//! The SDK's own client would be a second one beside it, with an HTTP/2 that nothing here speaks: a tenth of a function.

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
use reqwest::{Body, Client, Request};

/// An HTTP client for a configuration of the SDK. Its clones share their connections, so one does for several services.
#[must_use]
pub fn client() -> SharedHttpClient {
    SharedHttpClient::new(Clients::default())
}

/// The clients in use, by their time limit for connecting, which reqwest sets for a client as a whole.
#[derive(Clone, Debug, Default)]
struct Clients(Arc<Mutex<HashMap<Option<Duration>, Client>>>);

impl Clients {
    /// The one with this limit, made at its first request: that loads the certificates.
    fn get(&self, connect_timeout: Option<Duration>) -> Result<Client, reqwest::Error> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&connect_timeout) {
            return Ok(client.clone());
        }
        // What the SDK signed goes out as it is, and what comes back is what the service sent. As with the SDK's own client
        // no proxy is asked, which would not find an AWS emulator on this machine or beside this container.
        let mut builder = Client::builder().redirect(Policy::none()).referer(false).no_gzip().no_proxy();
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
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        self.connector(settings)
    }
}

/// Sends requests within two limits: one on connecting, one until an answer begins.
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
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let request = Request::try_from(request.map(Body::wrap)).map_err(failure)?;
    let response = http::Response::from(client.execute(request).await.map_err(failure)?);
    HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
        .map_err(|error| ConnectorError::other(error.into(), None))
}

/// The SDK tries again or not by the failure's kind; it does not after a request that could not even be put together.
fn failure(error: reqwest::Error) -> ConnectorError {
    let never_connected = error.is_connect();
    let failure = if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else if error.is_builder() {
        ConnectorError::user(error.into())
    } else {
        ConnectorError::io(error.into())
    };
    if never_connected { failure.never_connected() } else { failure }
}

#[cfg(test)]
mod tests;
