//! A poller with a clock that jumps to the time waited for, and a provider that follows a script.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use e2e::memory_log::MemoryPriceLog;
use poller::clock::Clock;
use poller::relay::{RelayFiring, ServedRelay};
use poller::{Firing, FiringError, Poller, Served};
use shared::market::{Symbol, Timestamp};
use shared::provider::{Provider, Providers};
use shared::repository;
use shared::repository::polling_jobs::{self, ChangeError, NewJob, PollingJob, Uncommitted};
use shared::repository::polling_runs::{self, Claim, ClaimOutcome};
use shared::repository::relays::{self, Relay};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::jumping_clock::JumpingClock;
pub(crate) use crate::scripted_provider::{Act, ScriptedProvider};

/// The time `seconds` after a job's first tick.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_700_000_000 + seconds, 0).expect("a time")
}

pub(crate) fn symbols(names: &[&str]) -> Vec<Symbol> {
    names
        .iter()
        .map(|name| name.parse().expect("a symbol"))
        .collect()
}

/// A job whose first tick is at second 0.
pub(crate) fn new_job(interval_seconds: u32) -> NewJob {
    NewJob {
        job_id: Uuid::now_v7(),
        symbols: symbols(&["AAPL", "MSFT", "GOOG"]),
        provider: "script".parse().expect("a name"),
        interval_seconds,
        market_hours: false,
        created_at: at(0) - TimeDelta::milliseconds(300),
    }
}

/// A job like [`new_job`], with symbols that no other job has, so that it shares no request.
pub(crate) fn job_of_its_own(interval_seconds: u32) -> NewJob {
    let job = new_job(interval_seconds);
    let own = job.job_id.simple().to_string().split_off(20).to_uppercase();
    NewJob {
        symbols: symbols(
            &["A", "B", "C"]
                .map(|name| format!("{name}{own}"))
                .each_ref()
                .map(String::as_str),
        ),
        ..job
    }
}

/// A poller and the parts around it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) pool: PgPool,
    pub(crate) clock: Arc<JumpingClock>,
    pub(crate) provider: Arc<ScriptedProvider>,
    pub(crate) price_log: Arc<MemoryPriceLog>,
    pub(crate) poller: Poller,
}

impl World {
    /// A world at second 0 with one job.
    pub(crate) async fn with_job(interval_seconds: u32) -> anyhow::Result<(Self, PollingJob)> {
        Self::over(e2e::postgres::database().await?, interval_seconds).await
    }

    /// A world at second 0 with one job, over the test's own pool.
    pub(crate) async fn over(
        pool: PgPool,
        interval_seconds: u32,
    ) -> anyhow::Result<(Self, PollingJob)> {
        let clock = JumpingClock::start(at(0), &pool);
        let provider = Arc::new(ScriptedProvider::new("script", &clock));

        let price_log = Arc::new(MemoryPriceLog::new());
        let job = polling_jobs::insert(&pool, &new_job(interval_seconds), 50).await?;

        let poller = Poller {
            pool: pool.clone(),
            providers: Providers::of(
                vec![Arc::clone(&provider) as Arc<dyn Provider>],
                "script".parse()?,
            ),
            instance: Arc::default(),
            price_log: Arc::clone(&price_log) as _,
            clock: Arc::clone(&clock) as _,
            relay_jobs: 200,
            stopping: CancellationToken::new(),
        };

        Ok((
            Self {
                pool,
                clock,
                provider,
                price_log,
                poller,
            },
            job,
        ))
    }

    /// Adds a provider that the poller knows besides the first one.
    pub(crate) fn add_provider(&mut self, name: &str) -> Arc<ScriptedProvider> {
        let added = Arc::new(ScriptedProvider::new(name, &self.clock));

        self.poller.providers = Providers::of(
            vec![Arc::clone(&self.provider) as _, Arc::clone(&added) as _],
            "script".parse().expect("a name"),
        );
        added
    }

    /// Serves the firing of this second, at that time or at the clock's time if that is later.
    pub(crate) async fn fire(&self, job: &PollingJob, seconds: i64) -> Result<Served, FiringError> {
        self.clock.set(at(seconds));

        let firing = Firing {
            job_id: job.job_id,
            scheduled_time: at(seconds),
        };

        self.poller.serve(&firing, self.deadline()).await
    }

    /// Serves the firing of a relay's schedule at this second.
    pub(crate) async fn fire_relay(
        &self,
        relay: &Relay,
        seconds: i64,
    ) -> Result<ServedRelay, FiringError> {
        self.clock.set(at(seconds));

        let firing = RelayFiring {
            relay_id: relay.relay_id,
            scheduled_time: at(seconds),
        };
        self.poller.serve_relay(&firing, self.deadline()).await
    }

    /// The relay that serves a job.
    pub(crate) async fn relay_of(&self, job: &PollingJob) -> anyhow::Result<Relay> {
        Ok(relays::of_job(&self.pool, job.job_id)
            .await?
            .expect("a relay"))
    }

    /// The time at which an invocation that starts now is cut off.
    pub(crate) fn deadline(&self) -> Timestamp {
        self.clock.now() + TimeDelta::seconds(180)
    }

    /// Every run of a job: its tick's second, the number of ticks that the row covers, and its
    /// status.
    pub(crate) async fn runs(&self, job: &PollingJob) -> anyhow::Result<Vec<(i64, i64, String)>> {
        let rows: Vec<(Timestamp, i64, String)> = sqlx::query_as(
            "select tick_time, ticks, status from polling_runs where job_id = $1 order by tick_time",
        )
        .bind(job.job_id)
        .fetch_all(&self.pool)
        .await?;

        Ok(rows
            .into_iter()
            .map(|(tick, ticks, status)| ((tick - at(0)).num_seconds(), ticks, status))
            .collect())
    }

    pub(crate) async fn job(&self, job: &PollingJob) -> anyhow::Result<PollingJob> {
        Ok(polling_jobs::get(&self.pool, job.job_id)
            .await?
            .expect("the job"))
    }
}

/// Commits a change of the job, and returns what it changed.
pub(crate) async fn committed<T>(written: Result<Option<Uncommitted<T>>, ChangeError>) -> T {
    let written = written.expect("a change").expect("the job");
    written.commit().await.expect("committed")
}

/// How long an instance remembers that a request may not pass.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(1);

/// Forgets what the providers' breakers know. Their time is Postgres's, and that of the instance,
/// which do not jump.
pub(crate) async fn forget_failures(pool: &PgPool) -> anyhow::Result<()> {
    sqlx::query("delete from request_budgets")
        .execute(pool)
        .await?;
    tokio::time::sleep(REMEMBERED).await;
    Ok(())
}

/// A claim by another poller.
pub(crate) async fn claim(
    pool: &PgPool,
    job_id: Uuid,
    tick: Timestamp,
    now: Timestamp,
) -> Result<ClaimOutcome, repository::Error> {
    polling_runs::claim(pool, &Claim::new(job_id, tick), now).await
}

/// Rows in the form that [`World::runs`] returns.
pub(crate) fn rows(expected: &[(i64, i64, &str)]) -> Vec<(i64, i64, String)> {
    expected
        .iter()
        .map(|(tick, ticks, status)| (*tick, *ticks, (*status).to_owned()))
        .collect()
}
