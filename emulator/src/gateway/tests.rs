//! The gateway over real connections, in front of functions that are closures.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use reqwest::{Client, Response};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::invoker::{FunctionError, InvokeError, Invoker, Outcome};
use crate::template::HttpRoute;
use crate::visitors::AllowedHosts;

mod answers;
mod events;

const PATIENCE: Duration = Duration::from_secs(30);

/// A function that always gives the same answer, and records its events.
#[derive(Debug)]
struct Fixed {
    answer: Result<Outcome, InvokeError>,
    events: Mutex<Vec<Value>>,
    /// If given, the answer waits for it.
    release: Option<Arc<Notify>>,
}

impl Invoker for Fixed {
    fn invoke<'a>(
        &'a self,
        _function: &'a str,
        payload: Bytes,
    ) -> BoxFuture<'a, Result<Outcome, InvokeError>> {
        let event = serde_json::from_slice(&payload).expect("events are JSON");
        self.events
            .lock()
            .expect("no test panics while it holds this")
            .push(event);

        async move {
            if let Some(release) = &self.release {
                release.notified().await;
            }
            self.answer.clone()
        }
        .boxed()
    }
}

struct Harness {
    address: SocketAddr,
    function: Arc<Fixed>,
    stop: CancellationToken,
    served: JoinHandle<anyhow::Result<()>>,
}

impl Harness {
    async fn start(answer: Result<Outcome, InvokeError>, routes: &[(&str, &str)]) -> Self {
        Self::with(
            Fixed {
                answer,
                events: Mutex::default(),
                release: None,
            },
            routes,
        )
        .await
    }

    /// Starts a gateway whose `$default` function answers with this JSON.
    async fn answering(answer: Value) -> Self {
        Self::start(Ok(Outcome::Success(Bytes::from(answer.to_string()))), &[]).await
    }

    async fn with(function: Fixed, routes: &[(&str, &str)]) -> Self {
        Self::within(PATIENCE, function, routes).await
    }

    async fn within(timeout: Duration, function: Fixed, routes: &[(&str, &str)]) -> Self {
        Self::at("127.0.0.1", "127.0.0.1", timeout, function, routes).await
    }

    /// Starts a gateway that listens at `listen`, and that others reach at `reached`.
    async fn at(
        listen: &str,
        reached: &str,
        timeout: Duration,
        function: Fixed,
        routes: &[(&str, &str)],
    ) -> Self {
        let listener = TcpListener::bind((listen, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let stop = CancellationToken::new();
        let function = Arc::new(function);
        let reached_at = reached.parse().expect("an address");

        let default = HttpRoute {
            method: None,
            path: None,
            function: "f".to_owned(),
        };
        let named = routes.iter().map(|(method, path)| HttpRoute {
            method: Some((*method).to_owned()),
            path: Some((*path).to_owned()),
            function: "f".to_owned(),
        });
        let routes = if routes.is_empty() {
            vec![default]
        } else {
            named.collect()
        };

        let invoker: Arc<dyn Invoker> = Arc::<Fixed>::clone(&function);
        let until = stop.clone();
        let served = tokio::spawn(async move {
            let allowed = AllowedHosts::read(["market.example", "a"]).expect("these are hosts");
            super::serve_within(
                timeout, listener, reached_at, &allowed, routes, invoker, until,
            )
            .await
        });

        Self {
            address,
            function,
            stop,
            served,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn get(&self, path: &str) -> Response {
        client()
            .get(self.url(path))
            .send()
            .await
            .expect("the gateway answers")
    }

    /// Sends a request exactly as it is written and returns the whole answer.
    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address)
            .await
            .expect("the gateway listens");

        stream
            .write_all(request.as_bytes())
            .await
            .expect("it reads");

        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .await
            .expect("it answers and closes");
        answer
    }

    fn only_event(&self) -> Value {
        let events = self
            .function
            .events
            .lock()
            .expect("no test panics while it holds this");

        assert_eq!(events.len(), 1, "{events:?}");
        events[0].clone()
    }
}

fn client() -> Client {
    Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .expect("a client can be built")
}
