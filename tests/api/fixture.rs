//! The API with a database of its own, an in-memory log, a stub of `EventBridge` and two providers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::{Access, AppState, Observed};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use chrono::TimeDelta;
use e2e::memory_log::MemoryPriceLog;
use e2e::schedules::{poller_at, schedules_at};
use serde_json::Value;
use shared::instruments::Instruments;
use shared::market::{Quote, Timestamp};
use shared::price_event::PriceEvent;
use shared::provider::{Provider, Providers, Spellings};
use shared::repository::ingest::Ingest;
use shared::repository::polling_jobs::JobLimits;
use sqlx::PgPool;
use tower::ServiceExt;
use uuid::Uuid;
use wiremock::matchers::path_regex;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::quoter::Quoter;

/// The most jobs of one relay.
pub(crate) const RELAY_JOBS: u32 = 2;
/// The limits on jobs.
pub(crate) const LIMITS: JobLimits = JobLimits {
    jobs: 12,
    symbols_per_job: 5,
    symbols: 30,
};

/// The API and the parts behind it.
pub(crate) struct Api {
    pub(crate) pool: PgPool,
    pub(crate) log: Arc<MemoryPriceLog>,
    /// The default provider, named `quoter`. The other provider is `spare`.
    pub(crate) quoter: Arc<Quoter>,
    pub(crate) spare: Arc<Quoter>,
    pub(crate) event_bridge: MockServer,
    /// Lambda's Invoke API, which accepts every event.
    pub(crate) lambda: MockServer,
    router: Router,
}

/// An answer to a request.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// The body as text; of a binary one, what is text in it.
    pub(crate) text: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) headers: HeaderMap,
    /// The value of `Retry-After`.
    pub(crate) retry_after: Option<String>,
    /// The value of `Location`.
    pub(crate) location: Option<String>,
}

impl Answered {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The value of this header, or an empty text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("text"))
    }

    /// This field of each item in the list.
    pub(crate) fn each(&self, field: &str) -> Vec<Value> {
        let body = self.json();
        let items = body["items"]
            .as_array()
            .unwrap_or_else(|| panic!("no list: {body}"));
        items.iter().map(|item| item[field].clone()).collect()
    }

    /// Asserts that `Link` leads to the next page, exactly where there is one, with the query that
    /// this page was asked by.
    pub(crate) fn assert_links(&self, path: &str) {
        let body = self.json();
        let next = body["next_cursor"].as_str();

        let (place, query) = path.split_once('?').unwrap_or((path, ""));
        let kept = query.split('&').filter(|pair| !pair.starts_with("cursor="));
        let query: Vec<&str> = kept.filter(|pair| !pair.is_empty()).collect();
        let expected = next.map_or_else(String::new, |cursor| {
            let cursor = format!("cursor={cursor}");
            let query = [query, vec![cursor.as_str()]].concat().join("&");
            format!("<{place}?{query}>; rel=\"next\"")
        });
        assert_eq!(self.header("link"), expected, "{path}");
    }

    /// Asserts that this is the problem of an unavailable part, with a time for the next attempt.
    pub(crate) fn assert_unavailable(&self, kind: &str) {
        let problem = self.json();
        let kind = Value::from(format!("/docs#{kind}"));
        assert_eq!((self.status, &problem["type"]), (503, &kind), "{problem}");
        assert_eq!(self.retry_after.as_deref(), Some("5"), "{problem}");
    }
}

impl Api {
    /// An API whose parts all work.
    pub(crate) async fn start() -> Self {
        Self::over(e2e::postgres::database().await.expect("a database")).await
    }

    /// An API over the test's own pool.
    pub(crate) async fn over(pool: PgPool) -> Self {
        Self::with_asking_time(pool, api::ASKING_TIME).await
    }

    /// An API with this much time for requests that ask providers.
    pub(crate) async fn with_asking_time(pool: PgPool, asking_time: Duration) -> Self {
        Self::with(pool, asking_time, |providers| providers).await
    }

    /// An API whose providers are asked as the table `instruments` spells symbols.
    pub(crate) async fn spelled(pool: PgPool) -> Self {
        let spellings: Arc<dyn Spellings> = Arc::new(Instruments::new(pool.clone()));
        let spelled = |providers: Providers| providers.spelled_by(&spellings);
        Self::with(pool, api::ASKING_TIME, spelled).await
    }

    /// An API with these providers instead of its own.
    pub(crate) async fn with_providers(pool: PgPool, providers: Providers) -> Self {
        Self::with(pool, api::ASKING_TIME, |_| providers).await
    }

    /// An API that asks the next provider also for what one does not know.
    pub(crate) async fn falling_back_on_unknown_symbol(pool: PgPool) -> Self {
        let change = |providers: Providers| providers.falling_back_on_unknown_symbol(true);
        Self::with(pool, api::ASKING_TIME, change).await
    }

    async fn with(
        pool: PgPool,
        asking_time: Duration,
        change: impl FnOnce(Providers) -> Providers,
    ) -> Self {
        let event_bridge = MockServer::start().await;

        let done =
            ResponseTemplate::new(200).set_body_json(serde_json::json!({"ScheduleArn": "arn"}));
        Mock::given(path_regex("^/schedules/.+"))
            .respond_with(done)
            .mount(&event_bridge)
            .await;

        let lambda = MockServer::start().await;
        Mock::given(path_regex("^/2015-03-31/functions/.+/invocations$"))
            .respond_with(ResponseTemplate::new(202))
            .mount(&lambda)
            .await;

        let (quoter, log) = (
            Arc::new(Quoter::new("quoter")),
            Arc::new(MemoryPriceLog::new()),
        );

        let spare = Arc::new(Quoter::new("spare"));
        let default: Arc<dyn Provider> = Arc::<Quoter>::clone(&quoter);
        let other: Arc<dyn Provider> = Arc::<Quoter>::clone(&spare);

        let state = AppState {
            db: pool.clone(),
            providers: change(Providers::of(
                vec![default, other],
                "quoter".parse().expect("a name"),
            )),
            price_log: Arc::<MemoryPriceLog>::clone(&log),
            dead_letters: Arc::<MemoryPriceLog>::clone(&log),
            backlog: Arc::<MemoryPriceLog>::clone(&log),
            schedules: schedules_at(&event_bridge.uri()),
            poller: poller_at(&lambda.uri()),
            polling_interval: 10,
            job_limits: LIMITS,
            relay_jobs: RELAY_JOBS,
            cors_origins: Vec::new(),
            access: Access::Everybody,
            asking_time,
            observed: Observed::default(),
        };

        Self {
            pool,
            log,
            quoter,
            spare,
            event_bridge,
            lambda,
            router: api::router(state),
        }
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: String) -> Answered {
        self.send_with(method, path, body, &[]).await
    }

    pub(crate) async fn send_with(
        &self,
        method: &str,
        path: &str,
        body: String,
        headers: &[(&str, &str)],
    ) -> Answered {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json");

        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).expect("a request");

        let (parts, body) = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("an answer")
            .into_parts();

        let header = |name| Some(parts.headers.get(name)?.to_str().ok()?.to_owned());
        let body = to_bytes(body, 10_000_000).await.expect("its body");

        Answered {
            status: parts.status.as_u16(),
            text: String::from_utf8_lossy(&body).into_owned(),
            bytes: body.to_vec(),
            retry_after: header("retry-after"),
            location: header("location"),
            headers: parts.headers,
        }
    }

    /// Asks, and asserts that a list links to its next page.
    pub(crate) async fn get(&self, path: &str) -> Answered {
        let answered = self.send("GET", path, String::new()).await;
        if answered.text.contains("\"next_cursor\":") {
            answered.assert_links(path);
        }
        answered
    }

    /// Forgets what the providers' breakers and budgets know.
    pub(crate) async fn forget_failures(&self) {
        sqlx::query("delete from request_budgets")
            .execute(&self.pool)
            .await
            .expect("no states");
    }

    /// The names of the schedules that were requested, each once.
    pub(crate) async fn schedule_names(&self) -> BTreeSet<String> {
        let requests = self.event_bridge.received_requests().await;
        let requests = requests.expect("recorded requests");

        requests
            .iter()
            .filter(|request| request.method.as_str() == "POST")
            .map(|request| request.url.path().replace("/schedules/", ""))
            .collect()
    }

    /// Stores the events as points, as the averager does with a batch.
    pub(crate) async fn store(&self, events: &[PriceEvent]) {
        Ingest::new(self.pool.clone())
            .store(events, &[])
            .await
            .expect("a stored batch");
    }
}

/// A moment in the past, `second` seconds after a fixed one.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_timestamp(1_700_000_000 + second, 0).expect("a time")
}

/// A quote of this second, polled a second later.
pub(crate) fn event(symbol: &str, provider: &str, price: &str, second: i64) -> PriceEvent {
    polled(
        symbol,
        provider,
        price,
        at(second),
        at(second) + TimeDelta::seconds(1),
    )
}

/// A quote with a quote time and a poll time.
pub(crate) fn polled(
    symbol: &str,
    provider: &str,
    price: &str,
    timestamp: Timestamp,
    polled_at: Timestamp,
) -> PriceEvent {
    let quote = Quote {
        symbol: symbol.parse().expect("a symbol"),
        price: price.parse().expect("a price"),
        currency: Some("USD".parse().expect("a currency")),
        timestamp,
    };

    PriceEvent::of_quote(
        quote,
        provider.parse().expect("a provider"),
        polled_at,
        Uuid::now_v7(),
    )
}
