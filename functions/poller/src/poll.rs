//! Polls one tick: fetches quotes, stores the raw responses, publishes one event per quote, and
//! records the run.

use std::ops::ControlFlow;
use std::time::Duration;

use chrono::TimeDelta;
use shared::acquisition::fallback::{self, is_mendable};
use shared::acquisition::{Acquired, Wish, acquire};
use shared::market::{ProviderName, Symbol, Timestamp};
use shared::provider::{Provider, ProviderError};
use shared::repository::polling_jobs::PollingJob;
use shared::repository::polling_runs::{self, Claim, RunResult};
use shared::repository::series::{self, Series};
use tracing::{info, warn};

use crate::course::{ClaimedCourse, Stop};
use crate::fates::Fates;
use crate::limits::Limits;
use crate::{FiringError, Poller};

/// Number of consecutive requests without any quote after which the provider counts as unavailable
/// and gets no further request in this poll.
const FAILURES_TO_GIVE_UP: u32 = 2;
/// How long a poll waits for a provider's budget although another provider could be asked.
const SHORT_WAIT: TimeDelta = TimeDelta::milliseconds(1_100);
/// Longest that a poll waits for the points with which it compares its quotes.
const READING_POINTS: Duration = Duration::from_secs(1);
/// Longest that a step in the middle of a poll waits for Postgres. It is half of a claim's lease,
/// and the invocation's time may allow less.
const POSTGRES_PATIENCE: TimeDelta = TimeDelta::seconds(15);

/// A poll in progress.
struct Run<'a> {
    job: &'a PollingJob,
    claim: &'a Claim,
    limits: &'a Limits,
    result: RunResult,
    /// What became of each symbol at the provider that was asked last.
    fates: Fates,
    /// Why whole requests failed.
    failures: Vec<ProviderError>,
}

/// Why a poll ends before all symbols were requested.
enum Ending {
    /// The log failed, or the time is up. The claim holds, so the result so far is recorded.
    Early,
    /// Another poller took the tick over, or the job is deleted. Nothing is recorded.
    ClaimLost,
}

impl Poller {
    /// Polls the claimed tick: asks the first of the job's providers for all symbols, and each
    /// further one for the symbols that failed in a way that another provider may not. No request
    /// starts after `limits.last_start`, or while the process is being stopped; the remaining
    /// symbols count as failed.
    ///
    /// Each step waits only as long as the steps after it still fit into the invocation. A tick
    /// whose result cannot be recorded in time stays claimed until its lease expires; the firing
    /// then comes again and polls it.
    pub(crate) async fn poll(
        &self,
        job: &PollingJob,
        claim: &Claim,
        limits: &Limits,
    ) -> Result<(), FiringError> {
        let mut run = Run {
            job,
            claim,
            limits,
            result: RunResult::default(),
            fates: Fates::default(),
            failures: Vec::new(),
        };

        match self.ask_in_turn(&mut run).await {
            Ok(ControlFlow::Break(Ending::ClaimLost)) => {
                let (job_id, tick) = (job.job_id, claim.tick_time);
                warn!(%job_id, %tick, "lost the claim on tick {tick} of job {job_id}");
                return Ok(());
            }
            Ok(_) => {}
            // Postgres would refuse the statement again, so the firing must not come again: the run
            // ends with this error.
            Err(FiringError::Repository(refusal)) => run.note(&refusal),
            Err(error) => return Err(error),
        }

        let result = run.into_result();
        self.record(job, claim, limits, result).await
    }

    /// Closes the run.
    async fn record(
        &self,
        job: &PollingJob,
        claim: &Claim,
        limits: &Limits,
        result: RunResult,
    ) -> Result<(), FiringError> {
        let finish = || polling_runs::finish(&self.pool, claim, &result, self.clock.now());
        let until = self.postgres_until(limits.end);
        let held = self
            .patiently("record the result of the tick", until, limits, finish)
            .await?;

        let RunResult {
            published,
            unchanged,
            failed,
            error,
            ..
        } = &result;
        let (job_id, tick) = (job.job_id, claim.tick_time);
        info!(%job_id, %tick, published, unchanged, failed, error, held, "polled tick {tick} of job {job_id}");
        Ok(())
    }

    /// Asks one provider after the other, each for the symbols that it may have.
    async fn ask_in_turn(&self, run: &mut Run<'_>) -> Result<ControlFlow<Ending>, FiringError> {
        let on_unknown_symbol = self.providers.falls_back_on_unknown_symbol();
        let mut left = run.job.symbols.clone();
        let mut names = run.job.provider.iter().peekable();

        while let Some(name) = names.next() {
            let Some(provider) = self.providers.get(name) else {
                run.note(&format_args!("there is no provider {name}"));
                continue;
            };
            let is_last = names.peek().is_none();

            let ended = self.request_all(&*provider, is_last, &left, run).await?;
            if ended.is_break() {
                return Ok(ended);
            }

            let mendable = |symbol: &Symbol| {
                let loss = run.fates.loss(symbol);
                loss.is_some_and(|loss| is_mendable(loss, on_unknown_symbol))
            };
            left.retain(mendable);
            if left.is_empty() {
                break;
            }
        }

        Ok(ControlFlow::Continue(()))
    }

    /// Sends one request after the other, each for as many symbols as the provider takes. After a
    /// request that was limited, or after [`FAILURES_TO_GIVE_UP`] that failed, the provider gets no
    /// further one: the other symbols share the failure.
    async fn request_all(
        &self,
        provider: &dyn Provider,
        is_last: bool,
        symbols: &[Symbol],
        run: &mut Run<'_>,
    ) -> Result<ControlFlow<Ending>, FiringError> {
        let mut failures_in_a_row = 0;
        let mut asked = 0;

        for batch in symbols.chunks(provider.max_symbols().max(1)) {
            if self.stopping.is_cancelled() || self.clock.now() > run.limits.last_start {
                run.note(&"the poller's time was up before all symbols were asked for");
                return Ok(ControlFlow::Break(Ending::Early));
            }

            let failure = match self.request(provider, is_last, batch, run).await? {
                ControlFlow::Break(ending) => return Ok(ControlFlow::Break(ending)),
                ControlFlow::Continue(failure) => failure,
            };
            asked += batch.len();

            let Some(failure) = failure else {
                failures_in_a_row = 0;
                continue;
            };
            failures_in_a_row += 1;
            run.failures.push(failure.clone());

            if failure.wait().is_some() || failures_in_a_row >= FAILURES_TO_GIVE_UP {
                let rest = symbols.get(asked..).unwrap_or_default();
                run.fates.lost(rest, provider.name(), &failure);
                break;
            }
        }

        Ok(ControlFlow::Continue(()))
    }

    /// Acquires the quotes of one request; returns why it failed as a whole.
    async fn request(
        &self,
        provider: &dyn Provider,
        is_last: bool,
        symbols: &[Symbol],
        run: &mut Run<'_>,
    ) -> Result<ControlFlow<Ending, Option<ProviderError>>, FiringError> {
        let course = ClaimedCourse {
            poller: self,
            claim: run.claim,
            provider: provider.name(),
            limits: run.limits,
            waits_until: self.waits_until(is_last, run),
        };
        let tick = run.claim.tick_time;
        // Another job's quote is shared only if it was polled after the tick: an older one says
        // nothing about the market at this tick. `accepts` counts itself in, hence the microsecond.
        let wish = Wish {
            at: tick,
            accepts: Some(tick + TimeDelta::microseconds(1)),
        };

        let known = self.newest_points(provider.name(), symbols, run).await;
        let acquired = match acquire(&course, &self.instance, provider, symbols, wish).await {
            Ok(acquired) => acquired,
            Err(Stop::ClaimLost) => return Ok(ControlFlow::Break(Ending::ClaimLost)),
            Err(Stop::Failed(error)) => return Err(error),
        };
        let log_failed = acquired.log_failed();
        let Acquired { quotes, failure } = acquired;
        run.fates.acquired(provider.name(), quotes, &known);

        // Renewed again, so that the next fetch starts with a whole lease.
        if !course.renew(run.limits.end).await? {
            return Ok(ControlFlow::Break(Ending::ClaimLost));
        }

        Ok(if log_failed {
            ControlFlow::Break(Ending::Early)
        } else {
            ControlFlow::Continue(failure)
        })
    }

    /// The newest stored points of these series, so that quotes that did not move are told apart.
    /// Without an answer of Postgres each quote counts as new: that is only a count.
    async fn newest_points(
        &self,
        provider: &ProviderName,
        symbols: &[Symbol],
        run: &Run<'_>,
    ) -> Vec<Series> {
        let providers = [provider.clone()];
        let reading = series::of_providers(&self.pool, symbols, &providers);
        let read = self.within(READING_POINTS, run.limits.last_start, reading);

        match read.await {
            Some(Ok(points)) => points,
            Some(Err(_)) | None => {
                let (job_id, tick) = (run.claim.job_id, run.claim.tick_time);
                warn!(%job_id, %tick, "cannot tell which quotes of tick {tick} of job {job_id} moved");
                Vec::new()
            }
        }
    }

    /// Until when the poll waits for a provider's budget: until the job's next tick if no other
    /// provider is left to ask, otherwise for the budget of a second only.
    fn waits_until(&self, is_last: bool, run: &Run<'_>) -> Timestamp {
        let short = self.clock.now() + SHORT_WAIT;
        if !is_last {
            return short.min(run.limits.last_start);
        }

        let next_tick = run.job.grid().next_after(run.claim.tick_time);
        short.max(next_tick).min(run.limits.last_start)
    }

    /// When a step in the middle of a poll stops waiting for Postgres: at `until`, or after
    /// [`POSTGRES_PATIENCE`] if that is earlier.
    pub(crate) fn postgres_until(&self, until: Timestamp) -> Timestamp {
        until.min(self.clock.now() + POSTGRES_PATIENCE)
    }
}

impl Run<'_> {
    /// Keeps the first error of the run. Clients see it: every error passed here is safe to show.
    fn note(&mut self, error: &dyn std::fmt::Display) {
        self.result.error.get_or_insert_with(|| error.to_string());
    }

    /// The result, with the error of the first symbol that has no quote in the end. If each
    /// provider that failed says when it may be asked again, the job waits for the first of them.
    fn into_result(mut self) -> RunResult {
        let symbols = &self.job.symbols;
        let first = symbols.iter().find_map(|symbol| self.fates.loss(symbol));
        if let Some(first) = first.map(ToString::to_string) {
            self.note(&first);
            self.result.retry_after = fallback::wait(&self.failures);
        }

        self.fates.conclude(&self.job.symbols, &mut self.result);
        self.result
    }
}
