//! An API that asks for keys, and requests to it as the gateways pass them on.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Access, AppState, Keys, Observed};
use axum::Router;
use e2e::memory_log::MemoryPriceLog;
use e2e::schedules::{poller_at, schedules_at};
use lambda_http::lambda_runtime::{Context, LambdaEvent};
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Service as _};
use serde_json::{Value, json};
use shared::access::{Key, Scope};
use shared::config;
use shared::provider::Providers;
use shared::repository::api_keys::{self, NewApiKey};
use shared::repository::polling_jobs::JobLimits;
use sqlx::PgPool;

/// Through which gateway a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Through {
    /// The emulator's, on loopback.
    Loopback,
    /// The emulator's, at an address of the network, from this machine.
    Network,
    /// API Gateway, from somewhere.
    Aws,
}

/// An instance of the API.
pub(crate) struct Guarded {
    pub(crate) pool: PgPool,
    router: Router,
}

/// An answer to a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answered {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Asserts that this is a problem of this status and kind.
    pub(crate) fn assert_problem(&self, status: u16, kind: &str) {
        let problem = self.json();
        let kind = Value::from(format!("/docs#{kind}"));
        assert_eq!(
            (self.status, &problem["type"]),
            (status, &kind),
            "{problem}"
        );
        assert_eq!(problem["status"], status);
    }
}

impl Guarded {
    /// An API on a database of its own, without keys.
    pub(crate) async fn start() -> Self {
        Self::over(e2e::postgres::database().await.unwrap())
    }

    /// Another instance on the same database.
    pub(crate) fn over(pool: PgPool) -> Self {
        Self::with(pool, Keys::new(false))
    }

    /// An instance that accepts keys in the query.
    pub(crate) fn with_keys_in_query(pool: PgPool) -> Self {
        Self::with(pool, Keys::new(true))
    }

    fn with(pool: PgPool, keys: Keys) -> Self {
        let lookup = |name: &str| {
            let value = match name {
                "DATABASE_URL" => "postgres://nobody@127.0.0.1/nothing",
                "KAFKA_BOOTSTRAP_SERVERS" => "127.0.0.1:1",
                "SCHEDULE_GROUP" => "group",
                "SCHEDULE_TARGET_ARN" => "arn:aws:lambda:us-east-1:000000000000:function:poller",
                "SCHEDULE_ROLE_ARN" => "arn:aws:iam::000000000000:role/scheduler",
                "DEFAULT_PROVIDER" => "replay",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let config = config::Api::from_lookup(&lookup).unwrap();
        let log = Arc::new(MemoryPriceLog::new());

        let state = AppState {
            db: pool.clone(),
            providers: Providers::new(&config.providers),
            price_log: Arc::<MemoryPriceLog>::clone(&log),
            dead_letters: Arc::<MemoryPriceLog>::clone(&log),
            backlog: log,
            schedules: schedules_at("http://127.0.0.1:1"),
            poller: poller_at("http://127.0.0.1:1"),
            polling_interval: 10,
            job_limits: JobLimits::NONE,
            relay_jobs: 200,
            cors_origins: vec!["https://shop.example".to_owned()],
            access: Access::Keys(keys),
            asking_time: api::ASKING_TIME,
            observed: Observed::default(),
        };

        Self {
            pool,
            router: api::router(state),
        }
    }

    /// Makes a key of this scope, and returns it.
    pub(crate) async fn key(&self, scope: Scope) -> Key {
        self.key_with(scope, "").await
    }

    /// Makes a key with these limits, if any.
    pub(crate) async fn key_with(&self, scope: Scope, limits: &str) -> Key {
        let key = Key::from_random((0..8).flat_map(|_| *uuid::Uuid::new_v4().as_bytes())).unwrap();
        let new = NewApiKey {
            key: &key,
            name: &"tester".parse().unwrap(),
            scope,
            limits: limits.parse().unwrap_or_default(),
            expires_at: None,
        };
        api_keys::add(&self.pool, &new).await.unwrap();
        key
    }

    /// Sends a GET with this key.
    pub(crate) async fn get(&self, through: Through, path: &str, key: Option<&Key>) -> Answered {
        let bearer = key.map(|key| format!("Bearer {}", key.expose()));
        let headers: Vec<(&str, &str)> = bearer
            .iter()
            .map(|bearer| ("authorization", bearer.as_str()))
            .collect();
        self.send(through, "GET", path, &headers).await
    }

    /// Sends a request as the gateway passes it on; the query is behind a question mark.
    pub(crate) async fn send(
        &self,
        through: Through,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Answered {
        let event = event(through, method, target, headers);
        let event: LambdaRequest = serde_json::from_value(event).unwrap();

        // The adapter cannot be kept while its answer is waited for in another thread.
        let answering =
            Adapter::from(self.router.clone()).call(LambdaEvent::new(event, Context::default()));
        let answer = answering.await.unwrap();
        let answer = serde_json::to_value(answer).unwrap();

        let headers = answer["headers"].as_object().unwrap().iter();
        Answered {
            status: u16::try_from(answer["statusCode"].as_u64().unwrap()).unwrap(),
            headers: headers
                .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
                .collect(),
            body: answer["body"].as_str().unwrap_or_default().to_owned(),
        }
    }
}

/// The event that a gateway makes of a request.
fn event(through: Through, method: &str, target: &str, headers: &[(&str, &str)]) -> Value {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    let names_no_host = headers.iter().all(|(name, _)| *name != "host");
    let own = names_no_host.then_some(("host", "127.0.0.1:8080"));
    for (name, value) in own.iter().chain(headers) {
        let before = joined.get(&name.to_lowercase());
        let value = before.map_or((*value).to_owned(), |before| format!("{before},{value}"));
        joined.insert(name.to_lowercase(), value);
    }

    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": joined,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abcdefghij",
            "domainName": "127.0.0.1",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "test",
            },
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000",
            "timeEpoch": 1_767_225_600_000_i64,
        },
        "isBase64Encoded": false,
    });

    let context = &mut event["requestContext"];
    match through {
        Through::Loopback => {
            context["authorizer"] = json!({ "lambda": { "listener": "loopback" } });
        }
        Through::Network => {
            context["authorizer"] = json!({ "lambda": { "sender": "this machine" } });
        }
        Through::Aws => {}
    }
    event
}
