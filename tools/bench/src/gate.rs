//! What a request costs at the gate of its provider, before it is sent: budget, breaker and lease.
//! The provider answers at once, and nothing is stored or published.

use std::time::{Duration, Instant};

use anyhow::ensure;
use async_trait::async_trait;
use chrono::Utc;
use futures::future::try_join_all;
use serde_json::json;
use shared::acquisition::{Course, Instance, Request, Wish, acquire};
use shared::market::{ProviderName, Quote, Symbol, Timestamp};
use shared::price_event::PriceEvent;
use shared::price_log::PublishError;
use shared::provider::{Answer, Limits, Provider, ProviderError};
use shared::repository;
use shared::repository::breakers::{Failure, OpeningRule, failed};
use shared::repository::raw_responses::RawResponse;
use sqlx::PgPool;

use crate::bench::Bench;
use crate::figures::{median, milliseconds, percentile};
use crate::report::{Table, rounded};

/// The most that budget and breaker may cost one request, in milliseconds.
const LIMIT_MS: f64 = 1.0;
/// A budget that the benchmark does not use up, with a limit per second and one per minute.
const LARGE: (u32, u32) = (100_000, 6_000_000);
/// Requests that are made before those that are measured.
const WARM_UP: usize = 50;

/// One way of asking.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    /// Whether each request comes from an instance that holds nothing.
    is_new: bool,
    /// Whether the fetch is shared, by a lease.
    is_shared: bool,
    /// How many requests are made at the same time.
    at_once: usize,
    provider: &'static str,
    /// Whether the breaker is open.
    is_open: bool,
}

const HELD: Case = Case {
    name: "tokens held",
    is_new: false,
    is_shared: false,
    at_once: 1,
    provider: "calm",
    is_open: false,
};
const FETCHED: Case = Case {
    name: "tokens fetched",
    is_new: true,
    provider: "limited",
    ..HELD
};
const CASES: [Case; 8] = [
    HELD,
    FETCHED,
    Case {
        name: "tokens fetched, 8 instances at the same time",
        at_once: 8,
        ..FETCHED
    },
    Case {
        name: "breaker open, and remembered",
        provider: "broken",
        is_open: true,
        ..HELD
    },
    Case {
        name: "breaker open",
        provider: "broken",
        is_open: true,
        ..FETCHED
    },
    Case {
        name: "lease, tokens held",
        is_shared: true,
        ..HELD
    },
    Case {
        name: "lease, tokens fetched",
        is_shared: true,
        ..FETCHED
    },
    Case {
        name: "lease, tokens fetched, 8 instances at the same time",
        is_shared: true,
        at_once: 8,
        ..FETCHED
    },
];

/// Measures every case and adds the tables to the report.
pub(crate) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    bench.server.new_database().await?;
    let (progress, cli) = (bench.progress, bench.cli);
    let course = Bare(repository::connect(&bench.server.url, 8)?);
    open_breaker(&course.0).await?;
    let requests = if cli.quick { 1_000 } else { 5_000 };

    let columns = ["case", "requests/s", "p50 ms", "p99 ms", "mean ms"];
    let mut figures = Table::new("A request at the gate of its provider", &columns);
    let mut thresholds = Table::of_thresholds("Thresholds of a request at the gate, ms");
    for case in CASES {
        progress.tell(format!("gate: {}", case.name));
        let (times, took) = measure(&course, case, requests).await?;

        let mean =
            milliseconds(times.iter().sum::<Duration>()) / f64::from(u32::try_from(times.len())?);
        let each = || times.iter().copied().map(milliseconds);
        figures.row(vec![
            json!(case.name),
            rounded(f64::from(u32::try_from(times.len())?) / took.as_secs_f64()),
            rounded(median(each())),
            rounded(percentile(each(), 99)),
            rounded(mean),
        ]);
        if case.at_once == 1 && !case.is_shared {
            thresholds.at_most(case.name, mean, LIMIT_MS, LIMIT_MS);
        }
    }

    figures.note("the provider answers at once; nothing is stored or published");
    bench.report.add(figures);
    bench.report.add(thresholds);
    Ok(())
}

/// The time of each request, and of all.
async fn measure(
    course: &Bare,
    case: Case,
    requests: usize,
) -> anyhow::Result<(Vec<Duration>, Duration)> {
    let held = Instance::default();
    let provider = Immediate::new(case.provider)?;
    let mut times = Vec::with_capacity(requests);
    let mut began = Instant::now();

    let rounds = (WARM_UP + requests).div_ceil(case.at_once);
    for round in 0..rounds {
        if round == WARM_UP.div_ceil(case.at_once) {
            times.clear();
            began = Instant::now();
        }

        let asking = (0..case.at_once).map(|number| {
            let (held, provider) = (&held, &provider);
            async move {
                let new = Instance::default();
                let instance = if case.is_new { &new } else { held };
                // Rows of symbols that were fetched before, as with jobs.
                let symbol = format!("S{}", (round * case.at_once + number) % 200).parse()?;
                let wish = Wish {
                    at: Utc::now(),
                    accepts: case.is_shared.then(Utc::now),
                };
                let asked_at = Instant::now();
                let asked = acquire(course, instance, provider, &[symbol], wish).await?;
                let took = asked_at.elapsed();
                ensure!(
                    asked.failure.is_some() == case.is_open,
                    "{:?} in the case {}",
                    asked.failure,
                    case.name
                );
                anyhow::Ok(took)
            }
        });
        times.extend(try_join_all(asking).await?);
    }
    Ok((times, began.elapsed()))
}

async fn open_breaker(pool: &PgPool) -> anyhow::Result<()> {
    let failure = Failure {
        provider: &"broken".parse()?,
        probe_id: None,
        reason: "as told",
        pause: Some(Duration::from_hours(1)),
        refused_key: None,
        moment: None,
    };
    let rule = OpeningRule {
        failures: 1,
        first: Duration::ZERO,
        longest: Duration::ZERO,
        jitter: 1.0,
    };
    failed(pool, &failure, &rule).await?;
    Ok(())
}

/// A course without any other step.
struct Bare(PgPool);

#[async_trait]
impl Course for Bare {
    type Error = repository::Error;

    fn pool(&self) -> &PgPool {
        &self.0
    }

    async fn postgres<T, F, S>(&self, _: &'static str, statement: S) -> Result<T, repository::Error>
    where
        T: Send,
        F: Future<Output = Result<T, repository::Error>> + Send,
        S: Fn() -> F + Send + Sync,
    {
        statement().await
    }

    fn longest_wait_for_others(&self) -> Duration {
        Duration::from_secs(10)
    }

    async fn pause(&self, wait: Duration) -> Result<bool, repository::Error> {
        tokio::time::sleep(wait).await;
        Ok(true)
    }

    async fn fetch(
        &self,
        request: Request<'_>,
    ) -> Result<Result<Answer, ProviderError>, repository::Error> {
        Ok(request.await)
    }

    async fn store(&self, _: &RawResponse<'_>) -> Result<(), repository::Error> {
        Ok(())
    }

    async fn append(&self, events: &[PriceEvent]) -> Option<Vec<Result<(), PublishError>>> {
        Some(events.iter().map(|_| Ok(())).collect())
    }
}

/// Answers at once. `calm` is limited per minute only, so that tokens are taken ahead.
#[derive(Debug)]
struct Immediate(ProviderName);

impl Immediate {
    fn new(name: &str) -> anyhow::Result<Self> {
        Ok(Self(name.parse()?))
    }
}

#[async_trait]
impl Provider for Immediate {
    fn name(&self) -> &ProviderName {
        &self.0
    }

    fn limits(&self) -> Limits {
        let (per_second, per_minute) = LARGE;
        Limits {
            per_second: (self.0.as_str() != "calm").then_some(per_second),
            per_minute: Some(per_minute),
            ..Limits::unlimited(10)
        }
    }

    async fn fetch(&self, symbols: &[Symbol], at: Timestamp) -> Result<Answer, ProviderError> {
        let malformed = |_| ProviderError::Malformed {
            provider: self.0.clone(),
            reason: "a price".to_owned(),
        };
        let price = "1.5".parse().map_err(malformed)?;
        let quote = |symbol: &Symbol| Quote {
            symbol: symbol.clone(),
            price,
            currency: None,
            timestamp: at,
        };
        Ok(Answer {
            received_at: Utc::now(),
            requests: 1,
            body: String::new(),
            quotes: symbols
                .iter()
                .map(|symbol| (symbol.clone(), Ok(quote(symbol))))
                .collect(),
        })
    }
}
