//! A provider on this machine: it answers as Finnhub (one symbol) and Tiingo (many) do, after
//! 100 ms.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use chrono::{SecondsFormat, Utc};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::sleep;

/// How long an answer takes.
pub(super) const LATENCY: Duration = Duration::from_millis(100);

/// The provider, for as long as the benchmark runs.
#[derive(Clone, Debug)]
pub(super) struct LocalProvider {
    /// Where it is asked.
    pub(super) url: String,
    requests: Arc<AtomicU64>,
}

impl LocalProvider {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let provider = Self {
            url: format!("http://{}", listener.local_addr()?),
            requests: Arc::default(),
        };

        let router = Router::new()
            .route("/api/v1/quote", get(one))
            .route("/iex/", get(many))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(provider)
    }

    /// The requests so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Waits, and returns a price that no answer before had.
    async fn price(&self) -> f64 {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        sleep(LATENCY).await;
        100.0 + f64::from(u32::try_from(number % 10_000).unwrap_or(0)) / 100.0
    }
}

async fn one(State(provider): State<LocalProvider>) -> Json<Value> {
    let price = provider.price().await;
    Json(json!({"c": price, "t": Utc::now().timestamp()}))
}

async fn many(
    State(provider): State<LocalProvider>,
    Query(query): Query<Vec<(String, String)>>,
) -> Json<Value> {
    let price = provider.price().await;
    let time = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);

    let tickers = query.iter().filter(|(name, _)| name == "tickers");
    let symbols = tickers.flat_map(|(_, symbols)| symbols.split(','));
    let quote = |symbol| json!({"ticker": symbol, "tngoLast": price, "timestamp": time});
    Json(symbols.map(quote).collect())
}
