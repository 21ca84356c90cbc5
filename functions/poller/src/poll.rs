//! Polls one tick: fetches quotes, stores the raw responses, publishes one event per quote, and
//! records the run.

use std::ops::ControlFlow;

use chrono::TimeDelta;
use shared::acquisition::{Acquired, acquire};
use shared::market::{Symbol, Timestamp};
use shared::provider::{Provider, ProviderError};
use shared::repository::polling_jobs::PollingJob;
use shared::repository::polling_runs::{self, Claim, RunResult};
use tracing::{info, warn};

use crate::course::{ClaimedCourse, Stop};
use crate::limits::Limits;
use crate::{FiringError, Poller};

/// Number of consecutive requests without any quote after which the provider counts as unavailable
/// and gets no further request in this poll.
const FAILURES_TO_GIVE_UP: u32 = 2;
/// Longest that a step in the middle of a poll waits for Postgres. It is half of a claim's lease,
/// and the invocation's time may allow less.
const POSTGRES_PATIENCE: TimeDelta = TimeDelta::seconds(15);

/// A poll in progress.
struct Run<'a> {
    claim: &'a Claim,
    provider: &'a dyn Provider,
    limits: &'a Limits,
    result: RunResult,
    failures_in_a_row: u32,
}

/// Why a poll ends before all symbols were requested.
enum Ending {
    /// The provider or the log failed, or the time is up. The claim holds, so the result so far is
    /// recorded.
    Recorded,
    /// Another poller took the tick over, or the job is deleted. Nothing is recorded.
    ClaimLost,
}

impl Poller {
    /// Polls the claimed tick. No request starts after `limits.last_start`, or while the process is
    /// being stopped; the remaining symbols count as failed.
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
        let result = match self.providers.get(job.provider.first()) {
            Some(provider) => {
                let provider = &*provider;
                let result = RunResult::default();
                let mut run = Run {
                    claim,
                    provider,
                    limits,
                    result,
                    failures_in_a_row: 0,
                };

                match self.request_all(&job.symbols, &mut run).await {
                    Ok(ControlFlow::Break(Ending::ClaimLost)) => {
                        warn!(job_id = %job.job_id, tick = %claim.tick_time, "lost the claim");
                        return Ok(());
                    }
                    Ok(_) => {}
                    Err(FiringError::Repository(refusal)) => run.note(&refusal),
                    Err(error) => return Err(error),
                }

                run.result
            }
            None => RunResult {
                error: Some(format!("there is no provider {}", job.provider)),
                ..RunResult::default()
            },
        };

        self.record(job, claim, limits, result).await
    }

    /// Closes the run. Each symbol that was not published counts as failed.
    async fn record(
        &self,
        job: &PollingJob,
        claim: &Claim,
        limits: &Limits,
        mut result: RunResult,
    ) -> Result<(), FiringError> {
        result.failed = u32::try_from(job.symbols.len())
            .unwrap_or(u32::MAX)
            .saturating_sub(result.published);

        let finish = || polling_runs::finish(&self.pool, claim, &result, self.clock.now());
        let until = self.patience(limits.end);
        let held = self
            .patiently("record what came of the tick", until, limits, finish)
            .await?;

        let RunResult {
            published,
            failed,
            error,
            ..
        } = &result;
        info!(job_id = %job.job_id, tick = %claim.tick_time, published, failed, error, held, "polled");
        Ok(())
    }

    /// Sends one request after the other, each for as many symbols as the provider takes.
    async fn request_all(
        &self,
        symbols: &[Symbol],
        run: &mut Run<'_>,
    ) -> Result<ControlFlow<Ending>, FiringError> {
        for symbols in symbols.chunks(run.provider.max_symbols().max(1)) {
            if self.stopping.is_cancelled() || self.clock.now() > run.limits.last_start {
                run.note(&"the poller's time was up before all symbols were asked for");
                return Ok(ControlFlow::Break(Ending::Recorded));
            }

            if let ControlFlow::Break(ending) = self.request(symbols, run).await? {
                return Ok(ControlFlow::Break(ending));
            }
        }

        Ok(ControlFlow::Continue(()))
    }

    /// Acquires the quotes of one request.
    async fn request(
        &self,
        symbols: &[Symbol],
        run: &mut Run<'_>,
    ) -> Result<ControlFlow<Ending>, FiringError> {
        let course = ClaimedCourse {
            poller: self,
            claim: run.claim,
            provider: run.provider.name(),
            limits: run.limits,
        };

        let acquired = match acquire(&course, run.provider, symbols, run.claim.tick_time).await {
            Ok(Ok(acquired)) => acquired,
            Ok(Err(error)) => return Ok(run.failed_request(&error)),
            Err(Stop::ClaimLost) => return Ok(ControlFlow::Break(Ending::ClaimLost)),
            Err(Stop::Failed(error)) => return Err(error),
        };
        run.acquired(&acquired);

        // Renewed again, so that the next fetch starts with a whole lease.
        if !course.renew(run.limits.end).await? {
            return Ok(ControlFlow::Break(Ending::ClaimLost));
        }

        Ok(if acquired.log_failed() {
            ControlFlow::Break(Ending::Recorded)
        } else {
            ControlFlow::Continue(())
        })
    }

    /// When a step in the middle of a poll stops waiting for Postgres: at `until`, or after
    /// [`POSTGRES_PATIENCE`] if that is earlier.
    pub(crate) fn patience(&self, until: Timestamp) -> Timestamp {
        until.min(self.clock.now() + POSTGRES_PATIENCE)
    }
}

impl Run<'_> {
    /// Keeps the first error of the run. Clients see it: every error passed here is safe to show.
    fn note(&mut self, error: &dyn std::fmt::Display) {
        self.result.error.get_or_insert_with(|| error.to_string());
    }

    /// Counts the published quotes, and keeps the first error.
    fn acquired(&mut self, acquired: &Acquired) {
        self.failures_in_a_row = 0;
        self.result.published += u32::try_from(acquired.published()).unwrap_or(u32::MAX);

        let losses = acquired
            .quotes
            .iter()
            .filter_map(|(_, quote)| quote.as_ref().err());
        losses.for_each(|loss| self.note(loss));
    }

    /// Counts a request without any quote. Ends the poll if the provider limits the rate, or after
    /// [`FAILURES_TO_GIVE_UP`] of them in a row.
    fn failed_request(&mut self, error: &ProviderError) -> ControlFlow<Ending> {
        self.note(error);
        self.failures_in_a_row += 1;

        if let Some(wait) = error.wait() {
            self.result.retry_after = Some(wait);
            return ControlFlow::Break(Ending::Recorded);
        }
        if self.failures_in_a_row >= FAILURES_TO_GIVE_UP {
            return ControlFlow::Break(Ending::Recorded);
        }
        ControlFlow::Continue(())
    }
}
