//! Polling: what many jobs with short intervals take and how late their ticks begin, and how long
//! one job with many symbols takes. The provider is on this machine, and answers after 100 ms.

mod provider;
mod speed;
mod stack;

use std::time::Duration;

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use serde_json::json;
use shared::market::Timestamp;
use shared::repository::polling_jobs::{self, NewJob};
use sqlx::PgPool;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use self::provider::LocalProvider;
use self::stack::{PollersCpu, Stack};
use crate::bench::Bench;
use crate::figures::percentile;
use crate::report::{Table, rounded};

/// Jobs of one relay.
const RELAY_JOBS: u32 = 200;
/// What the jobs poll: each three of these symbols.
const SYMBOLS: u32 = 1_000;
/// Requests for up to 100 symbols, as many as it takes.
const LIMITS: &str = "none/h,none/day,symbols=100,concurrent=8";
/// The pause between two looks at the processes.
const LOOK: Duration = Duration::from_millis(500);
/// How long the first run of every job may take: upkeep makes the relays' schedules, which fire once a
/// minute.
const WARM_UP: Duration = Duration::from_mins(4);
/// The memory of one instance in the template, in GB.
const INSTANCE_GB: f64 = 0.25;
/// Lambda's list price in dollars per GB-second, arm64.
const GB_SECOND: f64 = 0.000_013_333_4;
/// Seconds in a month of 730 hours.
const MONTH: f64 = 730.0 * 3_600.0;

/// Jobs of three symbols each.
struct Case {
    jobs: u32,
    /// Seconds between two ticks of a job.
    interval: u32,
    /// In how many different seconds of the interval the jobs are due.
    spread: u32,
}

const CASES: [Case; 2] = [
    Case {
        jobs: 500,
        interval: 10,
        spread: 10,
    },
    Case {
        jobs: 1_000,
        interval: 30,
        spread: 1,
    },
];

/// What was seen of the pollers while they worked.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    most_processes: usize,
    process_seconds: f64,
    most_memory: f64,
    cpu: f64,
    stack_cpu: f64,
    requests: f64,
    seconds: f64,
}

/// Measures both cases and adds the table to the report.
pub(crate) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let mut table = Table::new(
        "Polling by relays",
        &[
            "jobs",
            "interval, s",
            "ticks due",
            "polled",
            "delay p50, ms",
            "delay p99, ms",
            "recorded p99, ms",
            "requests/s",
            "processes",
            "MiB",
            "CPU, %",
            "CPU of the stack, %",
            "$/month",
            "$/month, a poller each",
        ],
    );
    table.note("Delay: from a tick's time to its claim; recorded: to the end of its run.");
    table.note("Processes, MiB, CPU of a core: of the pollers; the stack is without Postgres.");
    table.note("$: Lambda's list price for 256 MB, arm64, as if every poller were always busy.");
    let mut thresholds = Table::of_thresholds("Polling, with thresholds");

    let provider = LocalProvider::start().await?;
    let watched = Duration::from_secs(if bench.cli.quick { 45 } else { 180 });
    for case in &CASES {
        let what = format!("{} jobs at {} s", case.jobs, case.interval);
        bench.progress.tell(format!("polling: {what}, starting"));
        bench.server.new_database().await?;
        let pool = bench.server.pool(2)?;
        prepare(&pool, case).await?;

        let stack = Stack::start(bench.binaries, &bench.server, &provider, LIMITS).await?;
        bench.progress.tell(format!("polling: {what}, warming up"));
        all_run(&pool, case.jobs).await?;

        bench.progress.tell(format!("polling: {what}"));
        let from = Utc::now();
        let seen = watch(&stack, &provider, watched).await;
        let until = Utc::now() - TimeDelta::seconds(5);
        stack.stop().await?;

        let ticks = Ticks::read(&pool, from, until).await?;
        table.row(figures(case, &ticks, &seen));
        thresholds.at_most(
            format!("{what}: ticks not polled"),
            ticks.not_polled(),
            0.0,
            0.0,
        );
    }

    bench.report.add(table);
    speed::run(bench, &provider, &mut thresholds).await?;
    bench.report.add(thresholds);
    Ok(())
}

/// Creates the jobs before the stack starts, so that all of them are due from its start on.
async fn prepare(pool: &PgPool, case: &Case) -> anyhow::Result<()> {
    let begin = Utc::now() - TimeDelta::seconds(i64::from(case.interval) * 2);

    for number in 0..case.jobs {
        let symbols = (3 * number..3 * number + 3).map(|symbol| name(symbol % SYMBOLS).parse());
        let job = NewJob {
            job_id: Uuid::now_v7(),
            symbols: symbols.collect::<Result<_, _>>()?,
            provider: "tiingo".parse()?,
            interval_seconds: case.interval,
            market_hours: false,
            created_at: begin + TimeDelta::seconds(i64::from(number % case.spread)),
        };
        polling_jobs::insert(pool, &job, RELAY_JOBS)
            .await
            .context("making a job")?;
    }
    Ok(())
}

/// Waits until a run of every job has ended. Before that, some relay has not begun, and its ticks are
/// missed.
async fn all_run(pool: &PgPool, jobs: u32) -> anyhow::Result<()> {
    let begun = Instant::now();

    loop {
        let run: i64 = sqlx::query_scalar(
            "select count(distinct job_id) from polling_runs where status = 'succeeded'",
        )
        .fetch_one(pool)
        .await
        .context("counting the jobs that were polled")?;
        if run == i64::from(jobs) {
            return Ok(());
        }

        anyhow::ensure!(
            begun.elapsed() < WARM_UP,
            "{run} of {jobs} jobs were polled within {} s",
            WARM_UP.as_secs()
        );
        sleep(LOOK).await;
    }
}

/// The name of the symbol with this number.
fn name(number: u32) -> String {
    format!("S{number}")
}

async fn watch(stack: &Stack, provider: &LocalProvider, time: Duration) -> Seen {
    let begun = Instant::now();
    let (stack_cpu, requests) = (stack.cpu(), provider.requests());
    let mut cpu = PollersCpu::begin(stack);
    let mut seen = Seen::default();

    while begun.elapsed() < time {
        let pollers = stack.pollers();
        seen.most_processes = seen.most_processes.max(pollers.len());
        #[expect(
            clippy::cast_precision_loss,
            reason = "a number of processes is far below 2^52"
        )]
        let processes = pollers.len() as f64;
        seen.process_seconds += processes * LOOK.as_secs_f64();
        seen.most_memory = seen.most_memory.max(stack.memory_of(&pollers));
        cpu.look(stack);
        sleep(LOOK).await;
    }

    seen.seconds = begun.elapsed().as_secs_f64();
    seen.cpu = cpu.spent().as_secs_f64();
    seen.stack_cpu = stack.cpu().saturating_sub(stack_cpu).as_secs_f64();
    seen.requests = f64::from(u32::try_from(provider.requests() - requests).unwrap_or(u32::MAX));
    seen
}

/// The ticks of a time, as Postgres has them.
#[derive(Debug)]
struct Ticks {
    /// How many there are on the grids of the jobs.
    due: i64,
    /// How long after its time each polled one was claimed and recorded, in milliseconds.
    polled: Vec<(f64, f64)>,
}

impl Ticks {
    async fn read(pool: &PgPool, from: Timestamp, until: Timestamp) -> anyhow::Result<Self> {
        let due = sqlx::query_scalar(
            "select count(*) from polling_jobs job, generate_series(
                 job.start_at, $2, job.interval_seconds * interval '1 second') tick
             where tick between $1 and $2",
        )
        .bind(from)
        .bind(until)
        .fetch_one(pool)
        .await
        .context("counting the ticks that are due")?;

        let polled = sqlx::query_as(
            "select (extract(epoch from started_at - tick_time) * 1000)::float8,
                    (extract(epoch from finished_at - tick_time) * 1000)::float8
             from polling_runs
             where tick_time between $1 and $2 and status = 'succeeded'",
        )
        .bind(from)
        .bind(until)
        .fetch_all(pool)
        .await
        .context("reading the runs")?;
        Ok(Self { due, polled })
    }

    fn not_polled(&self) -> f64 {
        let polled = i64::try_from(self.polled.len()).unwrap_or(i64::MAX);
        let not_polled = u32::try_from((self.due - polled).unsigned_abs());
        f64::from(not_polled.unwrap_or(u32::MAX))
    }
}

fn figures(case: &Case, ticks: &Ticks, seen: &Seen) -> Vec<serde_json::Value> {
    let claimed = || ticks.polled.iter().map(|tick| tick.0);
    let recorded = ticks.polled.iter().map(|tick| tick.1);
    let instances = seen.process_seconds / seen.seconds;
    let month = |instances: f64| (instances * INSTANCE_GB * GB_SECOND * MONTH).round();

    vec![
        json!(case.jobs),
        json!(case.interval),
        json!(ticks.due),
        json!(ticks.polled.len()),
        rounded(percentile(claimed(), 50)),
        rounded(percentile(claimed(), 99)),
        rounded(percentile(recorded, 99)),
        rounded(seen.requests / seen.seconds),
        json!(seen.most_processes),
        rounded(seen.most_memory),
        rounded(seen.cpu / seen.seconds * 100.0),
        rounded(seen.stack_cpu / seen.seconds * 100.0),
        json!(month(instances)),
        json!(month(f64::from(case.jobs))),
    ]
}
