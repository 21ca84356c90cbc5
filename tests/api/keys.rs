//! The providers' keys: where they are missing, and that they are nowhere to be read.

use std::io::Write;
use std::sync::{Arc, Mutex};

use chrono::Utc;
use serde_json::json;
use shared::config;
use shared::provider::Providers;
use sqlx::AssertSqlSafe;
use tracing_subscriber::fmt::MakeWriter;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::fixture::Api;

/// Its middle has characters that are written in another way in a URL and in JSON.
const KEY: &str = "s3cr3t\"k3y/of+ours";
/// No text may have this part of it.
const PART: &str = "s3cr3t";

const VARIABLES: [&str; 4] = [
    "FINNHUB_API_KEY",
    "TWELVE_DATA_API_KEY",
    "ALPHA_VANTAGE_API_KEY",
    "TIINGO_API_KEY",
];
const NAMES: [&str; 4] = ["finnhub", "twelve_data", "alpha_vantage", "tiingo"];

/// The real providers, at this address.
fn providers(base_url: &str, key: Option<&str>) -> Providers {
    let lookup = |name: &str| match name {
        "DATABASE_URL" => Some("postgres://market@db/market".to_owned()),
        "KAFKA_BOOTSTRAP_SERVERS" => Some("kafka:9092".to_owned()),
        "DEFAULT_PROVIDER" => Some("finnhub,tiingo".to_owned()),
        name if name.ends_with("_BASE_URL") => Some(base_url.to_owned()),
        name if VARIABLES.contains(&name) => key.map(str::to_owned),
        _ => None,
    };
    Providers::new(
        &config::Poller::from_lookup(&lookup)
            .expect("as in every test")
            .providers,
    )
}

/// Repeats the key as it came, in good answers and in bad ones.
fn repeat(request: &Request) -> ResponseTemplate {
    let headers = request
        .headers
        .values()
        .filter_map(|value| value.to_str().ok());
    let headers: Vec<&str> = headers.collect();
    let told = format!("{} {}", headers.join(" "), request.url);
    assert!(told.contains(PART), "{told}");

    let now = Utc::now();
    let good = match request.url.path() {
        "/api/v1/quote" => json!({"c": 7, "t": now.timestamp(), "note": told}),
        "/query" => json!({"note": told, "Global Quote": {
            "01. symbol": "KO", "05. price": "7", "07. latest trading day": "2026-01-05",
        }}),
        "/quote" => {
            json!({"symbol": "KO", "close": "7", "timestamp": now.timestamp(), "note": told})
        }
        _ => json!([{"ticker": "KO", "timestamp": now, "tngoLast": 7, "note": told}]),
    };
    let is_bad = request
        .url
        .query()
        .is_some_and(|query| query.contains("BAD"));
    if is_bad {
        ResponseTemplate::new(401)
            .set_body_json(json!({"error": told, "message": told, "code": 401}))
    } else {
        ResponseTemplate::new(200).set_body_json(good)
    }
}

/// What was logged, at every level and by every library.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .expect("as in every test")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Every row of every table as text.
async fn everything_stored(api: &Api) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "select quote_ident(relname) from pg_class
         where relnamespace = current_schema()::text::regnamespace and relkind in ('r', 'p')
           and not relispartition",
    )
    .fetch_all(&api.pool)
    .await
    .expect("as in every test");
    assert!(tables.len() > 5, "{tables:?}");

    let mut stored = String::new();
    for table in tables {
        let rows = format!("select coalesce(string_agg(t::text, ' '), '') from {table} t");
        let rows: String = sqlx::query_scalar(AssertSqlSafe(rows))
            .fetch_one(&api.pool)
            .await
            .expect("as in every test");
        stored.push_str(&rows);
    }
    stored
}

#[tokio::test]
async fn a_key_is_in_no_answer_no_row_and_no_log_although_the_provider_repeats_it() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(log.clone())
        .finish();
    let _logged = tracing_subscriber::util::SubscriberInitExt::set_default(subscriber);

    let server = MockServer::start().await;
    Mock::given(wiremock::matchers::any())
        .respond_with(repeat)
        .mount(&server)
        .await;
    let pool = e2e::postgres::database().await.unwrap();
    let api = Api::with_providers(pool.clone(), providers(&server.uri(), Some(KEY))).await;
    let nobody = Api::with_providers(pool, providers("http://127.0.0.1:1", Some(KEY))).await;

    let mut answers = Vec::new();
    for name in NAMES {
        let path =
            |symbol: &str| format!("/prices/latest?symbol={symbol}&max_age=0&provider={name}");
        let good = api.get(&path("KO")).await;
        assert_eq!(good.status, 200, "{}", good.text);

        let bad = api.get(&path("BAD")).await;
        assert_eq!(bad.status, 503, "{}", bad.text);
        api.forget_failures().await;
        let unreachable = nobody.get(&path("KO")).await;
        assert_eq!(unreachable.status, 503, "{}", unreachable.text);
        answers.extend([good.text, bad.text, unreachable.text]);
    }
    for path in ["/providers", "/health"] {
        answers.push(api.get(path).await.text);
    }

    for answer in &answers {
        assert!(!answer.contains(PART), "{answer}");
    }
    let stored = everything_stored(&api).await;
    assert_eq!(stored.matches("(key)").count(), NAMES.len(), "{stored}");
    assert!(!stored.contains(PART), "{stored}");
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(
        logged.contains("a request to a provider failed"),
        "{logged}"
    );
    for line in logged.lines() {
        assert!(!line.contains(PART), "{line}");
    }
}

#[tokio::test]
async fn a_provider_without_its_key_is_listed_with_what_it_needs_and_asking_it_is_a_400() {
    let pool = e2e::postgres::database().await.unwrap();
    let api = Api::with_providers(pool, providers("http://127.0.0.1:1", None)).await;

    let listed = api.get("/providers").await.json();
    let items = listed["items"].as_array().unwrap();
    for (name, variable) in NAMES.into_iter().zip(VARIABLES) {
        let listed = items.iter().find(|item| item["provider"] == name).unwrap();
        assert_eq!(listed["needs"], variable, "{listed}");

        let latest = format!("/prices/latest?symbol=KO&provider=kraken,{name}");
        let body = json!({"symbols": ["KO"], "interval": 60, "provider": name}).to_string();
        for refused in [
            api.get(&latest).await,
            api.send("POST", "/prices/poll", body).await,
        ] {
            let problem = refused.json();
            assert_eq!(refused.status, 400, "{problem}");
            assert_eq!(problem["type"], "/docs#provider-not-allowed");
            assert_eq!(problem["detail"], format!("{name} needs {variable}"));
        }
    }

    let needs = items.iter().filter(|item| item["needs"].is_null()).count();
    assert_eq!(needs, items.len() - NAMES.len(), "{listed}");
}
