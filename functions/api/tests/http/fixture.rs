//! The API with unavailable parts behind it, and requests to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::{Access, AppState, Observed};
use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, HttpBody as _, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use e2e::memory_log::MemoryPriceLog;
use e2e::schedules::{poller_at, schedules_at};
use serde_json::Value;
use shared::dead_letters::DeadLetterError;
use shared::dead_letters::port::{DeadLetters, Redriven, Selection};
use shared::market::{ProviderName, Symbol, Timestamp};
use shared::provider::{Answer, Limits, Provider, ProviderError, Providers};
use shared::repository::polling_jobs::JobLimits;
use sqlx::postgres::PgPoolOptions;
use tower::ServiceExt;

/// A provider that counts the requests for quotes and fails each of them. If told to, it panics as
/// soon as anything is asked of it.
#[derive(Debug)]
pub(crate) struct Silent {
    name: ProviderName,
    asked: Arc<AtomicUsize>,
    panics: bool,
}

#[async_trait]
impl Provider for Silent {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn needs(&self) -> Option<&'static str> {
        assert!(!self.panics, "told to panic");
        None
    }

    fn limits(&self) -> Limits {
        Limits::unlimited(20)
    }

    async fn fetch(&self, _: &[Symbol], _: Timestamp) -> Result<Answer, ProviderError> {
        self.asked.fetch_add(1, Ordering::Relaxed);

        Err(ProviderError::Unavailable {
            provider: self.name.clone(),
            reason: "told to fail".to_owned(),
        })
    }
}

/// Dead letters that cannot be reached.
#[derive(Debug)]
struct NoLetters;

#[async_trait]
impl DeadLetters for NoLetters {
    async fn redrive(&self, _: &Selection) -> Result<Redriven, DeadLetterError> {
        Err(DeadLetterError::Silent(10))
    }
}

/// The API, and the parts behind it that tests inspect.
pub(crate) struct Fixture {
    pub(crate) router: Router,
    pub(crate) log: Arc<MemoryPriceLog>,
    asked: Arc<AtomicUsize>,
}

/// An answer to a request.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answered {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The locations of the faults that the problem lists.
    pub(crate) fn places(&self) -> Vec<String> {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());

        let faults = problem["errors"].as_array().cloned().unwrap_or_default();
        faults
            .iter()
            .map(|fault| fault["location"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with_providers(false)
    }

    /// The API with providers that panic when asked.
    pub(crate) fn with_panicking_providers() -> Self {
        Self::with_providers(true)
    }

    fn with_providers(panics: bool) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));

        let provider = |name: &str| -> Arc<dyn Provider> {
            Arc::new(Silent {
                name: name.parse().unwrap(),
                asked: Arc::clone(&asked),
                panics,
            })
        };

        let log = Arc::new(MemoryPriceLog::new());

        let pool = PgPoolOptions::new().acquire_timeout(Duration::from_millis(200));

        let state = AppState {
            db: pool
                .connect_lazy("postgres://nobody:secret@127.0.0.1:1/nothing")
                .unwrap(),
            providers: Providers::of(
                vec![provider("yahoo"), provider("replay")],
                "yahoo".parse().unwrap(),
            ),
            price_log: Arc::<MemoryPriceLog>::clone(&log),
            dead_letters: Arc::new(NoLetters),
            backlog: Arc::<MemoryPriceLog>::clone(&log),
            schedules: schedules_at("http://127.0.0.1:1"),
            poller: poller_at("http://127.0.0.1:1"),
            polling_interval: 10,
            job_limits: JobLimits::NONE,
            relay_jobs: 200,
            cors_origins: vec!["https://shop.example".to_owned()],
            access: Access::Everybody,
            asking_time: api::ASKING_TIME,
            observed: Observed::default(),
        };

        Self {
            router: api::router(state),
            log,
            asked,
        }
    }

    /// How often a provider was asked, of all together.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Sends `body` with its size, as API Gateway does.
    pub(crate) async fn send(&self, method: &str, path: &str, body: impl Into<Body>) -> Answered {
        let body = body.into();
        let size = body.size_hint().exact().unwrap();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .header("content-length", size);

        self.answer(request.body(body).unwrap()).await
    }

    pub(crate) async fn answer(&self, request: Request<Body>) -> Answered {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 10_000_000).await.unwrap().to_vec();

        Answered {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answered {
        self.send("GET", path, Body::empty()).await
    }

    pub(crate) async fn poll(&self, body: &str) -> Answered {
        self.send("POST", "/prices/poll", body.to_owned()).await
    }
}
