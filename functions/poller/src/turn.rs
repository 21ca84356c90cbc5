//! Asks one provider for what it can give to the ticks of a party.

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::time::Duration;

use chrono::TimeDelta;
use futures::stream::{FuturesUnordered, StreamExt as _};
use shared::acquisition::fallback::{concerns_all, is_mendable, is_outage};
use shared::acquisition::{Acquired, Wish, acquire};
use shared::market::{ProviderName, Symbol, Timestamp};
use shared::provider::{Provider, ProviderError};
use shared::repository::polling_runs::Claim;
use shared::repository::series::{self, Series};
use tracing::warn;

use crate::course::{ClaimedCourse, Stop};
use crate::limits::budget_wait;
use crate::party::{Tick, at_once};
use crate::poll::Poll;
use crate::{FiringError, Poller};

/// Number of outages in a row after which the provider gets no further request in this poll.
const OUTAGES_TO_GIVE_UP: u32 = 2;
/// Longest that a poll waits for the points with which it compares its quotes.
const READING_POINTS: Duration = Duration::from_secs(1);
/// A request that took longer than this renews its claims once more, so that the next one starts
/// with nearly a whole lease.
const LONG_REQUEST: TimeDelta = TimeDelta::seconds(5);

/// The requests to one provider.
struct Turn<'a> {
    provider: &'a dyn Provider,
    is_last: bool,
    began: Timestamp,
    /// Batches that were not sent yet.
    batches: VecDeque<Batch>,
    /// Symbols without an answer of this provider.
    unanswered: HashSet<Symbol>,
    outages_in_a_row: u32,
    /// Why no further batch is sent.
    stopped: Option<Stopped>,
}

/// The symbols of one request.
#[derive(Clone)]
struct Batch {
    symbols: Vec<Symbol>,
    /// It was asked before, and the budget was empty until this time.
    waited_until: Option<Timestamp>,
}

/// Why a provider gets no further request in this poll.
enum Stopped {
    /// It fails; the symbols that were not asked for share the failure.
    GivenUp(ProviderError),
    /// The log failed, the time is up, or no claim holds any more. The poll ends with the results
    /// so far.
    Ended,
    /// A step of the poll failed.
    Failed(FiringError),
}

/// A request, and what came of it.
struct Asked {
    batch: Batch,
    claims: Vec<Claim>,
    answer: Result<(Acquired, Vec<Series>), Stop>,
    /// Whether the budget was empty for longer than the request could wait.
    was_refused: bool,
}

impl Poller {
    /// Sends a request for each batch of as many symbols as the provider takes, as many at the same
    /// time as it allows, and records the runs that are complete. After a failure that every further
    /// one would share, or after [`OUTAGES_TO_GIVE_UP`], the provider gets no further one. A failure
    /// that may be due to the symbols asked for costs no others theirs.
    pub(crate) async fn ask(
        &self,
        provider: &dyn Provider,
        is_last: bool,
        symbols: &[Symbol],
        poll: &mut Poll<'_>,
    ) -> Result<ControlFlow<()>, FiringError> {
        let mut turn = Turn::new(provider, is_last, self.clock.now(), symbols);
        let at_once = at_once(&provider.limits());
        let on_unknown_symbol = self.providers.falls_back_on_unknown_symbol();
        let mut under_way = FuturesUnordered::new();

        loop {
            while turn.stopped.is_none() && under_way.len() < at_once {
                let Some(batch) = turn.batches.pop_front() else {
                    break;
                };
                if self.stopping.is_cancelled() || self.clock.now() > poll.limits.last_start {
                    poll.note(&"the poller's time was up before all symbols were asked for");
                    turn.stopped = Some(Stopped::Ended);
                    break;
                }
                under_way.push(self.request(&turn, batch, poll));
            }
            // Requests under way are awaited even if the poll has to end: what they publish counts.
            let Some(asked) = under_way.next().await else {
                break;
            };

            turn.answered(asked, poll);
            // A look at all symbols after each of many requests would be costly.
            if poll.ticks.len() > 1 {
                self.record_those(poll, |fates, tick, symbol| {
                    let mendable = |loss| is_mendable(loss, on_unknown_symbol);
                    let is_left = !is_last && fates.loss(symbol).is_some_and(mendable);
                    // Whether markets are open is asked last.
                    !tick.job.market_hours && !turn.unanswered.contains(symbol) && !is_left
                });
            }
        }
        turn.end(poll)
    }

    /// Acquires the quotes of one batch.
    fn request<'a>(
        &'a self,
        turn: &Turn<'a>,
        batch: Batch,
        poll: &Poll<'a>,
    ) -> impl Future<Output = Asked> + use<'a> {
        let ticks = poll.wanting(&batch);
        let waits_until = self.waits_until(turn, &ticks, poll);
        let claims: Vec<Claim> = ticks.iter().map(|tick| tick.claim).collect();
        let (provider, limits) = (turn.provider, poll.limits);

        async move {
            let course = ClaimedCourse::new(self, claims, provider.name(), limits, waits_until);
            let answer = self.acquire_under(&course, provider, &batch.symbols).await;
            let (claims, was_refused) = course.ended();
            Asked {
                batch: Batch {
                    waited_until: Some(waits_until),
                    ..batch
                },
                claims,
                answer,
                was_refused,
            }
        }
    }

    async fn acquire_under(
        &self,
        course: &ClaimedCourse<'_>,
        provider: &dyn Provider,
        symbols: &[Symbol],
    ) -> Result<(Acquired, Vec<Series>), Stop> {
        let asked_at = self.clock.now();
        // The ticks of a party are at the same time.
        let tick = course
            .claims
            .first()
            .map_or(asked_at, |claim| claim.tick_time);
        // Another job's quote is shared only if it was polled after the tick: an older one says
        // nothing about the market at this tick. The bound is inclusive, so a microsecond is added.
        let wish = Wish {
            at: tick,
            accepts: Some(tick + TimeDelta::microseconds(1)),
        };

        let known = self.newest_points(provider.name(), symbols, course).await;
        let acquired = acquire(course, &self.instance, provider, symbols, wish).await?;

        if self.clock.now() > asked_at + LONG_REQUEST && !course.renew(course.limits.end).await? {
            return Err(Stop::ClaimsLost);
        }
        Ok((acquired, known))
    }

    /// The newest stored points of these series. Quotes equal to them count as unchanged. If Postgres
    /// does not answer, each quote counts as new, which changes nothing but that count.
    async fn newest_points(
        &self,
        provider: &ProviderName,
        symbols: &[Symbol],
        course: &ClaimedCourse<'_>,
    ) -> Vec<Series> {
        let providers = [provider.clone()];
        let reading = series::of_providers(&self.pool, symbols, &providers);
        let read = self.within(READING_POINTS, course.limits.last_start, reading);

        match read.await {
            Some(Ok(points)) => points,
            Some(Err(_)) | None => {
                warn!(%provider, "cannot tell which quotes of {provider} moved");
                Vec::new()
            }
        }
    }

    /// Until when a request waits for a provider's budget.
    fn waits_until(&self, turn: &Turn<'_>, ticks: &[&Tick], poll: &Poll<'_>) -> Timestamp {
        let next = ticks.iter().map(|tick| tick.next()).min();
        let until = budget_wait(self.clock.now(), turn.began, next, turn.is_last);
        until.min(poll.limits.last_start)
    }
}

impl<'a> Turn<'a> {
    fn new(
        provider: &'a dyn Provider,
        is_last: bool,
        began: Timestamp,
        symbols: &[Symbol],
    ) -> Self {
        let batches = symbols.chunks(provider.max_symbols().max(1));
        let batches = batches.map(|batch| Batch {
            symbols: batch.to_vec(),
            waited_until: None,
        });

        Self {
            provider,
            is_last,
            began,
            batches: batches.collect(),
            unanswered: symbols.iter().cloned().collect(),
            outages_in_a_row: 0,
            stopped: None,
        }
    }

    /// Takes in what came of a request.
    fn answered(&mut self, asked: Asked, poll: &mut Poll<'_>) {
        let (acquired, known) = match asked.answer {
            Ok(answer) => answer,
            Err(Stop::ClaimsLost) => {
                poll.give_up(&asked.claims);
                if poll.ticks.is_empty() {
                    self.stop(Stopped::Ended);
                }
                return;
            }
            Err(Stop::Failed(error)) => return self.stop(Stopped::Failed(error)),
        };

        if acquired.log_failed() {
            self.stop(Stopped::Ended);
        }
        let mut symbols = asked.batch.symbols.clone();
        if asked.was_refused && self.is_last {
            self.ask_again(&asked.batch, &mut symbols, poll);
        }

        let Acquired {
            quotes,
            failure,
            trading,
        } = acquired;
        poll.markets.note(&trading, &quotes);
        let settled: HashSet<&Symbol> = symbols.iter().collect();
        let quotes = quotes.into_iter();
        let quotes = quotes.filter(|(symbol, _)| settled.contains(symbol));
        poll.fates.acquired(self.provider.name(), quotes, &known);
        for symbol in &symbols {
            self.unanswered.remove(symbol);
        }

        self.count(
            failure,
            asked.batch.symbols.len() == symbols.len(),
            symbols,
            poll,
        );
    }

    /// Puts those of the `symbols` back that a job wants which can wait longer for the budget than
    /// the jobs that it was asked with.
    fn ask_again(&mut self, batch: &Batch, symbols: &mut Vec<Symbol>, poll: &Poll<'_>) {
        let patient = poll.wanting(batch);
        let wanted: HashSet<&Symbol> = patient.iter().flat_map(|tick| &tick.job.symbols).collect();

        let again: Vec<Symbol> = symbols
            .extract_if(.., |symbol| wanted.contains(symbol))
            .collect();
        if !again.is_empty() {
            self.batches.push_front(Batch {
                symbols: again,
                waited_until: batch.waited_until,
            });
        }
    }

    /// Counts a request, and gives the provider up if further ones are in vain.
    fn count(
        &mut self,
        failure: Option<ProviderError>,
        is_final: bool,
        symbols: Vec<Symbol>,
        poll: &mut Poll<'_>,
    ) {
        let Some(failure) = failure else {
            self.outages_in_a_row = 0;
            return;
        };

        self.outages_in_a_row = if is_outage(&failure) {
            self.outages_in_a_row + 1
        } else {
            0
        };
        let is_too_often = self.outages_in_a_row >= OUTAGES_TO_GIVE_UP;
        if is_final && (concerns_all(&failure) || is_too_often) {
            self.stop(Stopped::GivenUp(failure.clone()));
        }
        poll.failures.push((symbols, failure));
    }

    /// Sends no further request. A reason that ends the poll counts more than one that ends the
    /// turn.
    fn stop(&mut self, reason: Stopped) {
        if matches!(self.stopped, None | Some(Stopped::GivenUp(_))) {
            self.stopped = Some(reason);
        }
    }

    fn end(self, poll: &mut Poll<'_>) -> Result<ControlFlow<()>, FiringError> {
        match self.stopped {
            None => Ok(ControlFlow::Continue(())),
            Some(Stopped::GivenUp(failure)) => {
                for batch in self.batches {
                    poll.fates
                        .lost(&batch.symbols, self.provider.name(), &failure);
                }
                Ok(ControlFlow::Continue(()))
            }
            Some(Stopped::Ended) => Ok(ControlFlow::Break(())),
            Some(Stopped::Failed(error)) => Err(error),
        }
    }
}

impl Poll<'_> {
    /// The ticks that want symbols of a batch. If it was asked before, only those that can wait for
    /// the budget longer than it did.
    fn wanting(&self, batch: &Batch) -> Vec<&Tick> {
        let symbols: HashSet<&Symbol> = batch.symbols.iter().collect();
        let wants = |tick: &&Tick| {
            self.ticks.len() == 1
                || tick
                    .job
                    .symbols
                    .iter()
                    .any(|symbol| symbols.contains(symbol))
        };
        let can_wait =
            |tick: &&Tick| Some(tick.next().min(self.limits.last_start)) > batch.waited_until;
        self.ticks.iter().filter(wants).filter(can_wait).collect()
    }
}
