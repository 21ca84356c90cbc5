//! A budget and a breaker that many processes share, over a provider that counts.

use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use e2e::waiting::until;
use shared::provider::{Providers, YAHOO};
use shared::repository::request_budgets::{ProviderState, provider_states};
use sqlx::PgPool;
use tokio::time::sleep;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

/// How many processes share the budget.
const PROCESSES: usize = 12;
/// Most requests in a second.
const LIMIT: usize = 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// A provider that gives a price, or limits us.
struct Counted {
    server: MockServer,
    limits_us: Arc<AtomicBool>,
}

impl Counted {
    async fn start() -> Self {
        let (server, limits_us) = (MockServer::start().await, Arc::<AtomicBool>::default());
        let limiting = Arc::clone(&limits_us);
        let answer = move |_: &Request| {
            if limiting.load(Ordering::SeqCst) {
                return ResponseTemplate::new(429).insert_header("Retry-After", "600");
            }
            ResponseTemplate::new(200).set_body_raw(
                r#"{"price": "63212.97", "time": "2026-06-19T16:43:33.016274Z"}"#,
                "application/json",
            )
        };
        Mock::given(any()).respond_with(answer).mount(&server).await;
        Self { server, limits_us }
    }

    async fn asked(&self) -> usize {
        let requests = self.server.received_requests().await;
        requests.expect("as in every test").len()
    }
}

/// A process that asks until its standard input closes.
struct Asker(Child, Option<ChildStdin>);

impl Asker {
    fn start(database: &str, provider: &str) -> anyhow::Result<Self> {
        let mut child = Command::new(e2e::binaries::directory()?.join("asker"))
            .env("DATABASE_URL", database)
            .env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
            .env("COINBASE_BASE_URL", provider)
            .env("COINBASE_LIMITS", format!("{LIMIT}/s,concurrent=4"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let input = child.stdin.take();
        Ok(Self(child, input))
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        drop(self.1.take());
        let _ = self.0.wait();
    }
}

async fn state(pool: &PgPool) -> Option<ProviderState> {
    let states = provider_states(pool).await.expect("as in every test");
    states.into_iter().next()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_keep_one_budget_and_one_of_them_probes() -> anyhow::Result<()> {
    const RUN: Duration = Duration::from_secs(6);

    let url = e2e::postgres::database_url().await?;
    let pool = shared::repository::connect(&url, 2)?;
    let provider = Counted::start().await;
    let began = Instant::now();
    let askers: Vec<Asker> = (0..PROCESSES)
        .map(|_| Asker::start(&url, &provider.server.uri()))
        .collect::<Result<_, _>>()?;

    // The budget: the tokens of each second are those of the twelve together.
    until("first requests", PATIENCE, async || {
        (provider.asked().await >= LIMIT).then_some(())
    })
    .await;
    sleep(RUN).await;
    let (asked, took) = (provider.asked().await, began.elapsed().as_secs_f64());
    println!("{asked} requests of {PROCESSES} processes in {took:.1} s, {LIMIT} a second allowed");
    #[expect(clippy::cast_precision_loss, reason = "some hundred requests")]
    let (asked, limit) = (asked as f64, LIMIT as f64);
    assert!(asked <= (took + 1.0) * limit * 1.02, "{asked} in {took} s");
    assert!(
        asked >= RUN.as_secs_f64() * limit * 0.5,
        "{asked} in {took} s"
    );

    // The breaker: what was under way when it opened is all that comes.
    provider.limits_us.store(true, Ordering::SeqCst);
    until("open breaker", PATIENCE, async || {
        state(&pool).await?.open_until
    })
    .await;
    sleep(Duration::from_millis(1_500)).await;
    let before = provider.asked().await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(provider.asked().await, before, "nothing is sent");

    sqlx::query("update request_budgets set open_until = now()")
        .execute(&pool)
        .await?;
    until("probe", PATIENCE, async || {
        (provider.asked().await > before).then_some(())
    })
    .await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(provider.asked().await, before + 1, "one probe of all");
    let open = state(&pool).await.and_then(|state| state.open_until);
    assert!(open.is_some_and(|until| until > chrono::Utc::now() + TimeDelta::minutes(9)));

    drop(askers);
    Ok(())
}

#[tokio::test]
async fn yahoo_is_left_alone_for_15_minutes_without_a_hint_and_otherwise_as_long_as_it_says()
-> anyhow::Result<()> {
    for (hint, seconds) in [(None, 900), (Some("90"), 90)] {
        let server = MockServer::start().await;
        let mut answer = ResponseTemplate::new(429).set_body_string("Edge: Too Many Requests");
        if let Some(hint) = hint {
            answer = answer.insert_header("Retry-After", hint);
        }
        Mock::given(any()).respond_with(answer).mount(&server).await;

        let uri = server.uri();
        let config = shared::config::Poller::from_lookup(&|name| match name {
            "DATABASE_URL" => Some("postgres://nobody@127.0.0.1/nothing".to_owned()),
            "KAFKA_BOOTSTRAP_SERVERS" => Some("127.0.0.1:9".to_owned()),
            "YAHOO_BASE_URL" => Some(uri.clone()),
            _ => None,
        })?;
        let providers = Providers::new(&config.providers);
        let yahoo = providers.get(&YAHOO.parse()?).expect("yahoo");

        let pool = e2e::postgres::database().await?;
        let asked = shared::acquisition::probe(&pool, &Default::default(), yahoo.as_ref()).await;
        let error = asked.expect_err("as in every test").to_string();
        assert!(error.starts_with("yahoo limits our requests"), "{error}");
        let state = state(&pool).await.expect("a state");
        let (since, until) = (state.open_since, state.open_until);
        let pause = until
            .zip(since)
            .map(|(until, since)| (until - since).num_seconds());
        assert_eq!(pause, Some(seconds), "{hint:?}");
    }
    Ok(())
}
