//! One job with a thousand symbols: how long its run takes, compared with what the provider allows.

use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;
use serde_json::{Value, json};
use shared::repository::polling_jobs::{self, NewJob};
use sqlx::PgPool;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::provider::{LATENCY, LocalProvider};
use super::stack::{PollersCpu, Stack};
use super::{RELAY_JOBS, SYMBOLS, name};
use crate::bench::Bench;
use crate::figures::percentile;
use crate::report::{Table, rounded};

/// The pause between two looks at the runs.
const LOOK: Duration = Duration::from_secs(1);
/// Longest that the runs may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// How many times the least time a run may take.
const LONGEST_RATIO: f64 = 1.2;

/// A provider's limits.
struct Case {
    provider: &'static str,
    limits: &'static str,
    max_symbols: u32,
    per_second: Option<u32>,
    concurrent: u32,
    /// Seconds between the ticks: longer than a run.
    interval: u32,
}

const CASES: [Case; 3] = [
    Case {
        provider: "tiingo",
        limits: "none/h,none/day,symbols=20,concurrent=4",
        max_symbols: 20,
        per_second: None,
        concurrent: 4,
        interval: 10,
    },
    Case {
        provider: "tiingo",
        limits: "4/s,none/h,none/day,symbols=20,concurrent=4",
        max_symbols: 20,
        per_second: Some(4),
        concurrent: 4,
        interval: 20,
    },
    Case {
        provider: "finnhub",
        limits: "50/s,none/min,concurrent=8",
        max_symbols: 1,
        per_second: Some(50),
        concurrent: 8,
        interval: 45,
    },
];

impl Case {
    fn requests(&self) -> u32 {
        SYMBOLS.div_ceil(self.max_symbols)
    }

    /// The shortest time that the limits allow: whole seconds for the rate, of which the first
    /// costs nothing, or as many answers one after the other as cannot be at the same time.
    fn least(&self) -> Duration {
        let by_answers = LATENCY * self.requests().div_ceil(self.concurrent);
        let by_rate = self.per_second.map(|rate| {
            Duration::from_secs(u64::from(self.requests().div_ceil(rate) - 1)) + LATENCY
        });
        by_answers.max(by_rate.unwrap_or_default())
    }
}

/// Measures the cases and adds the table to the report.
pub(super) async fn run(
    bench: &mut Bench<'_>,
    provider: &LocalProvider,
    thresholds: &mut Table,
) -> anyhow::Result<()> {
    let mut table = Table::new(
        "A thousand symbols in one job",
        &[
            "limits",
            "requests",
            "runs",
            "with all symbols",
            "least time, ms",
            "time p50, ms",
            "longest, ms",
            "p50 / least",
            "CPU per symbol, us",
        ],
    );
    table.note("Time: from the claim of a tick to the end of its run; CPU: of the poller.");

    let runs = if bench.cli.quick { 2 } else { 4 };
    for case in &CASES {
        bench
            .progress
            .tell(format!("polling: 1,000 symbols within {}", case.limits));
        bench.server.new_database().await?;
        let pool = bench.server.pool(2)?;
        prepare(&pool, case).await?;

        let stack = Stack::start(bench.binaries, &bench.server, provider, case.limits).await?;
        let first = ended(&pool, 1, || {}).await.context("the first run")?.len();
        let mut cpu = PollersCpu::begin(&stack);
        let runs = ended(&pool, first + runs, || cpu.look(&stack))
            .await
            .context("the runs")?
            .split_off(first);
        let cpu = cpu.spent().as_secs_f64();
        stack.stop().await?;

        let (row, ratio) = figures(case, &runs, cpu);
        table.row(row);
        thresholds.at_most(
            format!("1,000 symbols within {}: p50 / least", case.limits),
            ratio,
            LONGEST_RATIO,
            LONGEST_RATIO,
        );
    }

    bench.report.add(table);
    Ok(())
}

/// The figures of these runs, and how many times the least time they took.
fn figures(case: &Case, runs: &[Run], cpu: f64) -> (Vec<Value>, f64) {
    let times = || runs.iter().map(|run| run.milliseconds);
    let whole = runs.iter().filter(|run| run.succeeded).count();
    let least = case.least().as_secs_f64() * 1_000.0;
    let median = percentile(times(), 50);
    let symbols = f64::from(SYMBOLS) * f64::from(u32::try_from(runs.len()).unwrap_or(u32::MAX));

    // The time of a run without all symbols is not comparable.
    let ratio = if whole == runs.len() {
        median / least
    } else {
        f64::NAN
    };
    let row = vec![
        json!(case.limits),
        json!(case.requests()),
        json!(runs.len()),
        json!(whole),
        rounded(least),
        rounded(median),
        rounded(percentile(times(), 100)),
        rounded(ratio),
        rounded(cpu * 1e6 / symbols),
    ];
    (row, ratio)
}

async fn prepare(pool: &PgPool, case: &Case) -> anyhow::Result<()> {
    let job = NewJob {
        job_id: Uuid::now_v7(),
        symbols: (0..SYMBOLS)
            .map(|number| name(number).parse())
            .collect::<Result<_, _>>()?,
        provider: case.provider.parse()?,
        interval_seconds: case.interval,
        market_hours: false,
        created_at: Utc::now(),
    };
    polling_jobs::insert(pool, &job, RELAY_JOBS).await?;
    Ok(())
}

/// A run that has ended.
#[derive(Debug, sqlx::FromRow)]
struct Run {
    milliseconds: f64,
    succeeded: bool,
}

/// Waits until this many runs have ended, and returns them. `meanwhile` is called at each look.
async fn ended(
    pool: &PgPool,
    runs: usize,
    mut meanwhile: impl FnMut(),
) -> anyhow::Result<Vec<Run>> {
    let until = Instant::now() + PATIENCE;
    loop {
        let found: Vec<Run> = sqlx::query_as(
            "select (extract(epoch from finished_at - started_at) * 1000)::float8 as milliseconds,
                    status = 'succeeded' as succeeded
             from polling_runs
             where finished_at is not null order by tick_time",
        )
        .fetch_all(pool)
        .await?;
        meanwhile();

        if found.len() >= runs {
            return Ok(found);
        }
        anyhow::ensure!(Instant::now() < until, "{} of {runs} runs", found.len());
        sleep(LOOK).await;
    }
}
