//! Polls the ticks of a party: fetches quotes, stores the raw responses, publishes one event per
//! quote, and records a run for each tick.

use std::collections::HashSet;
use std::fmt::Display;
use std::mem;
use std::time::Duration;

use chrono::TimeDelta;
use shared::acquisition::Loss;
use shared::acquisition::fallback::{self, is_mendable};
use shared::market::{Symbol, Timestamp};
use shared::provider::ProviderError;
use shared::repository::polling_runs::{self, Claim, Outcome, OutcomeGroup, RunResult};
use tokio::task::JoinSet;
use tracing::{Instrument as _, info, warn};

use crate::fates::Fates;
use crate::in_flight::Held;
use crate::limits::Limits;
use crate::market_hours::Markets;
use crate::party::Tick;
use crate::{FiringError, Poller};

/// Longest that a step in the middle of a poll waits for Postgres. It is half of a claim's lease,
/// and the invocation's time may allow less.
const POSTGRES_PATIENCE: TimeDelta = TimeDelta::seconds(15);

/// A poll in progress.
pub(crate) struct Poll<'a> {
    pub(crate) limits: &'a Limits,
    /// The ticks whose runs are not recorded yet.
    pub(crate) ticks: Vec<Tick>,
    /// What became of each symbol at the provider that was asked last.
    pub(crate) fates: Fates,
    /// When the symbols trade.
    pub(crate) markets: Markets,
    /// Why whole requests failed, each with its symbols.
    pub(crate) failures: Vec<(Vec<Symbol>, ProviderError)>,
    /// The first error that concerns all runs that are not recorded yet.
    error: Option<String>,
    held: &'a Held,
    recordings: JoinSet<Result<(), FiringError>>,
}

impl Poller {
    /// Polls the claimed ticks of a party: asks the first of its providers for all symbols, and
    /// each further one for those that failed in a way that it can repair. The run of each tick is
    /// recorded as soon as its own symbols need nothing more, and its claim is then no longer
    /// `held`. No request starts after `limits.last_start`, or while the process is being stopped;
    /// the remaining symbols count as failed.
    ///
    /// Each step waits only as long as the steps after it still fit into the invocation. A tick
    /// whose result cannot be recorded in time stays claimed until its lease expires; a relay, or
    /// the firing that comes again, then polls it.
    pub(crate) async fn poll(
        &self,
        ticks: Vec<Tick>,
        limits: &Limits,
        held: &Held,
    ) -> Result<(), FiringError> {
        let mut poll = Poll {
            limits,
            ticks,
            fates: Fates::default(),
            markets: Markets::default(),
            failures: Vec::new(),
            error: None,
            held,
            recordings: JoinSet::new(),
        };

        let ended = match self.ask_in_turn(&mut poll).await {
            // Postgres would refuse the statement again, so the firing must not come again: the runs
            // end with this error.
            Err(FiringError::Repository(refusal)) => {
                poll.note(&refusal);
                Ok(())
            }
            ended => ended,
        };

        if ended.is_ok() {
            self.record_those(&mut poll, |_, _, _| true);
        }
        let recorded = poll.recorded().await;
        ended.and(recorded)
    }

    /// Asks one provider after the other, each for the symbols whose failure it can repair.
    async fn ask_in_turn(&self, poll: &mut Poll<'_>) -> Result<(), FiringError> {
        let on_unknown_symbol = self.providers.falls_back_on_unknown_symbol();
        let Some(names) = poll.ticks.first().map(|tick| tick.job.provider.clone()) else {
            return Ok(());
        };
        let mut names = names.iter().peekable();
        let mut left = poll.symbols();

        while let Some(name) = names.next() {
            let Some(provider) = self.providers.get(name) else {
                poll.note(&format_args!("there is no provider {name}"));
                continue;
            };
            let is_last = names.peek().is_none();

            if self.ask(&*provider, is_last, &left, poll).await?.is_break() {
                break;
            }
            self.ask_when_they_trade(&*provider, poll).await?;

            let mendable = |symbol: &Symbol| {
                let loss = poll.fates.loss(symbol);
                loss.is_some_and(|loss| is_mendable(loss, on_unknown_symbol))
            };
            left.retain(mendable);
            if left.is_empty() {
                break;
            }
        }

        Ok(())
    }

    /// Records the runs of the ticks all of whose symbols are settled, each in a task of its own,
    /// so that none waits for another, and no request for them.
    pub(crate) fn record_those(
        &self,
        poll: &mut Poll<'_>,
        is_settled: impl Fn(&Fates, &Tick, &Symbol) -> bool,
    ) {
        let fates = &poll.fates;
        let (settled, rest): (Vec<Tick>, _) =
            mem::take(&mut poll.ticks).into_iter().partition(|tick| {
                tick.job
                    .symbols
                    .iter()
                    .all(|symbol| is_settled(fates, tick, symbol))
            });
        poll.ticks = rest;

        for tick in settled {
            let result = poll.result_of(&tick, self.clock.now());
            let (poller, limits, held) = (self.clone(), *poll.limits, poll.held.clone());
            let recording = async move {
                poller.record(&tick, &result, &limits).await?;
                held.release(&tick.claim);
                Ok(())
            };
            poll.recordings.spawn(recording.in_current_span());
        }
    }

    /// Closes a run.
    async fn record(
        &self,
        Tick { job, claim, .. }: &Tick,
        result: &RunResult,
        limits: &Limits,
    ) -> Result<(), FiringError> {
        let finish = || polling_runs::finish(&self.pool, claim, result, self.clock.now());
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
        } = result;
        let (job_id, tick) = (job.job_id, claim.tick_time);
        info!(%job_id, %tick, published, unchanged, failed, error, held, "polled tick {tick} of job {job_id}");
        Ok(())
    }

    /// When a step in the middle of a poll stops waiting for Postgres: at `until`, or after
    /// [`POSTGRES_PATIENCE`] if that is earlier.
    pub(crate) fn postgres_until(&self, until: Timestamp) -> Timestamp {
        until.min(self.clock.now() + POSTGRES_PATIENCE)
    }
}

impl Poll<'_> {
    /// Keeps the first error of the runs. Clients see it: every error passed here is safe to show.
    pub(crate) fn note(&mut self, error: &dyn Display) {
        self.error.get_or_insert_with(|| error.to_string());
    }

    /// The symbols of all ticks, each once.
    fn symbols(&self) -> Vec<Symbol> {
        let mut seen = HashSet::new();
        let wanted = self.ticks.iter().flat_map(|tick| &tick.job.symbols);
        wanted
            .filter(|symbol| seen.insert(*symbol))
            .cloned()
            .collect()
    }

    /// Nothing is recorded of ticks whose claims are lost: other pollers took them over, or their
    /// jobs are deleted.
    pub(crate) fn give_up(&mut self, lost: &[Claim]) {
        for Tick { job, claim, .. } in self.ticks.extract_if(.., |tick| lost.contains(&tick.claim))
        {
            let (job_id, tick) = (job.job_id, claim.tick_time);
            warn!(%job_id, %tick, "lost the claim on tick {tick} of job {job_id}");
            self.held.release(&claim);
        }
    }

    /// Waits until all runs are recorded; returns the first error.
    async fn recorded(mut self) -> Result<(), FiringError> {
        let mut first = Ok(());
        while let Some(recorded) = self.recordings.join_next().await {
            let recorded =
                recorded.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            first = first.and(recorded);
        }
        first
    }

    /// The result of a tick, with the error of its first symbol that has no quote in the end.
    fn result_of(&self, tick: &Tick, now: Timestamp) -> RunResult {
        let symbols = &tick.job.symbols;
        let mut result = RunResult {
            error: self.error.clone(),
            configuration: Some(tick.job.configuration),
            ..RunResult::default()
        };

        let first = symbols.iter().find_map(|symbol| self.fates.loss(symbol));
        if let Some(first) = first {
            result.error.get_or_insert_with(|| first.to_string());
            result.retry_after = self.wait(symbols);
        }

        self.fates.conclude(symbols, &mut result);
        if !tick.left_out.is_empty() {
            result.outcomes.push(OutcomeGroup {
                outcome: Outcome::Closed,
                provider: None,
                symbols: tick.left_out.clone(),
                problem: None,
            });
        }
        if tick.job.market_hours {
            result.closed_markets =
                Some(self.markets.closed(symbols, &tick.job.closed_markets, now));
        }
        result
    }

    /// How long a job of these symbols waits for the provider that may be asked first: only if none
    /// has a quote, and each failure says when the provider may be asked again.
    fn wait(&self, symbols: &[Symbol]) -> Option<Duration> {
        let own: HashSet<&Symbol> = symbols.iter().collect();
        let of_this_job =
            |(asked, _): &&(Vec<Symbol>, _)| asked.iter().any(|symbol| own.contains(symbol));
        let failures = self.failures.iter().filter(of_this_job);

        let losses = symbols.iter().map(|symbol| self.fates.loss(symbol));
        let errors = losses.map(|loss| loss.and_then(Loss::provider));
        let all = errors.chain(failures.map(|(_, failure)| Some(failure)));
        fallback::wait(all.collect::<Option<Vec<_>>>()?)
    }
}
