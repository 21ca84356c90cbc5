//! Asks one provider for the symbols of a request, in batches.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use futures::stream::{self, StreamExt};
use shared::acquisition::fallback::{concerns_all, is_outage};
use shared::acquisition::{Acquired, Course, Loss, Request, Wish, acquire};
use shared::market::{Symbol, Timestamp};
use shared::price_event::PriceEvent;
use shared::price_log::PublishError;
use shared::provider::{Answer, Provider, ProviderError};
use shared::repository;
use shared::repository::raw_responses::{self, RawResponse};
use sqlx::PgPool;
use tokio::time::{Instant, sleep, timeout};

use crate::deadline::Deadline;
use crate::problem::Problem;
use crate::state::AppState;

/// Most requests to a provider that one request of a client has open at a time.
const CONCURRENT_BATCHES: usize = 4;
/// Longest wait for a provider's answer; the provider's own limit is shorter.
const FETCH_TIMEOUT: Duration = Duration::from_secs(11);
/// Longest wait until a raw response is stored.
const STORE_TIMEOUT: Duration = Duration::from_secs(4);
/// Longest wait for Kafka's acknowledgements; the log's own limit is shorter.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(4);
/// Longest wait for a provider's budget: until the next second begins, and a margin.
const BUDGET_WAIT: Duration = Duration::from_millis(1_100);
/// Time that is left for each further provider of the list, if there is as much.
const RESERVED: Duration = Duration::from_secs(4);
/// No request begins with less time for its answer.
const LEAST_TIME: Duration = Duration::from_millis(250);
/// Outages after which a provider gets no further request.
const OUTAGES_TO_GIVE_UP: u32 = 2;

/// Why a symbol got no quote from a provider.
#[derive(Clone, Debug)]
pub(super) enum Missing {
    /// The provider gave none, or it was not published: another provider may be asked.
    Lost(Loss),
    /// The request has to end.
    Ended(Problem),
}

/// The context that all batches of one request share.
pub(super) struct Asking<'a> {
    pub(super) state: &'a AppState,
    pub(super) provider: &'a Arc<dyn Provider>,
    pub(super) now: Timestamp,
    pub(super) max_age: TimeDelta,
    /// The end of the request's time, storing and publishing included.
    pub(super) deadline: Deadline,
    /// The end of the time for this provider's answers.
    answers_until: Deadline,
    /// The end of the time in which it waits for the provider's budget.
    budget_until: Deadline,
    trouble: Mutex<Trouble>,
}

/// What went wrong with the provider so far.
#[derive(Debug, Default)]
struct Trouble {
    outages: u32,
    /// Why it gets no further request.
    given_up: Option<ProviderError>,
}

impl<'a> Asking<'a> {
    /// Begins to ask a provider. `others` of the list may be asked after it, and have time then.
    pub(super) fn new(
        state: &'a AppState,
        provider: &'a Arc<dyn Provider>,
        times: (Timestamp, TimeDelta, Deadline),
        others: u32,
    ) -> Self {
        let (now, max_age, deadline) = times;
        let end = deadline.leaving(STORE_TIMEOUT + PUBLISH_TIMEOUT);
        let left = end.left();
        let share = left / (others + 1);
        let answers_until = end.within(share.max(left.saturating_sub(RESERVED * others)));

        // Once for all requests: waits that add up would use the time of the others.
        let budget_until = if others == 0 {
            answers_until
        } else {
            answers_until.within(BUDGET_WAIT)
        };

        Self {
            state,
            provider,
            now,
            max_age,
            deadline,
            answers_until,
            budget_until,
            trouble: Mutex::default(),
        }
    }

    /// Requests the symbols in batches, several at the same time. They are unordered, so that a
    /// slow batch does not delay the start of later ones. Once a failure shows that further requests
    /// are in vain, the symbols that are left share it.
    pub(super) async fn ask_all(
        &self,
        symbols: &[Symbol],
    ) -> Vec<(Symbol, Result<PriceEvent, Missing>)> {
        let batches: Vec<Vec<Symbol>> = symbols
            .chunks(self.provider.max_symbols().max(1))
            .map(<[Symbol]>::to_vec)
            .collect();

        let asked = stream::iter(batches)
            .map(|batch| self.ask(batch))
            .buffer_unordered(CONCURRENT_BATCHES);
        asked
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    /// Requests one batch. A problem of the whole batch becomes a problem of each of its symbols.
    async fn ask(&self, batch: Vec<Symbol>) -> Vec<(Symbol, Result<PriceEvent, Missing>)> {
        // Checked before the provider is asked: its quotes could not be published.
        let acquired = if self.state.observed.log_is_unavailable(Instant::now()) {
            Err(Problem::kafka_unavailable())
        } else if let Some(error) = self.given_up() {
            Ok(Acquired::failed(&batch, error))
        } else {
            let wish = Wish {
                at: self.now,
                accepts: (self.max_age > TimeDelta::zero()).then(|| self.now - self.max_age),
            };
            let instance = &self.state.observed.instance;
            acquire(self, instance, self.provider.as_ref(), &batch, wish).await
        };

        match acquired {
            Ok(acquired) => {
                self.learn(&acquired);
                let quotes = acquired.quotes.into_iter();
                quotes
                    .map(|(symbol, quote)| (symbol, quote.map_err(Missing::Lost)))
                    .collect()
            }
            Err(problem) => {
                let ended = |symbol| (symbol, Err(Missing::Ended(problem.clone())));
                batch.into_iter().map(ended).collect()
            }
        }
    }

    /// Why the provider gets no further request, if it does not.
    fn given_up(&self) -> Option<ProviderError> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let no_time = || (self.answers_until.left() < LEAST_TIME).then(|| self.timed_out());
        trouble.given_up.clone().or_else(no_time)
    }

    /// Notes what a batch tells about further ones: a provider that is silent once would cost the
    /// time of the next provider.
    fn learn(&self, acquired: &Acquired) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if acquired.failure.as_ref().is_some_and(is_outage) {
            trouble.outages += 1;
        }

        let is_lasting = |error: &&ProviderError| {
            let silent = matches!(error, ProviderError::TimedOut { .. });
            silent || concerns_all(error)
        };
        let losses = acquired
            .quotes
            .iter()
            .filter_map(|(_, quote)| quote.as_ref().err());
        let lasting = losses.filter_map(Loss::provider).find(is_lasting);
        let outage = acquired.failure.as_ref();
        let outage = outage.filter(|_| trouble.outages >= OUTAGES_TO_GIVE_UP);

        if let Some(error) = lasting.or(outage) {
            trouble.given_up.get_or_insert_with(|| error.clone());
        }
    }

    fn timed_out(&self) -> ProviderError {
        ProviderError::TimedOut {
            provider: self.provider.name().clone(),
        }
    }
}

#[async_trait]
impl Course for Asking<'_> {
    type Error = Problem;

    fn pool(&self) -> &PgPool {
        &self.state.db
    }

    async fn postgres<T, F, S>(&self, _: &'static str, statement: S) -> Result<T, Problem>
    where
        T: Send,
        F: Future<Output = Result<T, repository::Error>> + Send,
        S: Fn() -> F + Send + Sync,
    {
        self.deadline.postgres(statement()).await
    }

    fn longest_wait_for_others(&self) -> Duration {
        self.answers_until.left().min(FETCH_TIMEOUT)
    }

    async fn pause(&self, wait: Duration) -> Result<bool, Problem> {
        if wait > BUDGET_WAIT || wait > self.budget_until.left() {
            return Ok(false);
        }

        sleep(wait).await;
        Ok(true)
    }

    /// Waits for the provider only as long as its answer can still be stored and published, and as
    /// the next provider can be asked if there is one.
    async fn fetch(&self, request: Request<'_>) -> Result<Result<Answer, ProviderError>, Problem> {
        let fetched = self.answers_until.wait(timeout(FETCH_TIMEOUT, request));
        match fetched.await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(_)) | None => Ok(Err(self.timed_out())),
        }
    }

    async fn store(&self, response: &RawResponse<'_>) -> Result<(), Problem> {
        let storing = raw_responses::insert(&self.state.db, response);
        self.deadline.within(STORE_TIMEOUT).postgres(storing).await
    }

    /// Appends the events, and remembers whether the log failed.
    async fn append(&self, events: &[PriceEvent]) -> Option<Vec<Result<(), PublishError>>> {
        let appending = self.state.price_log.append(events);
        let results = self.deadline.within(PUBLISH_TIMEOUT).wait(appending).await;

        let failed = results
            .as_ref()
            .is_none_or(|results| results.iter().any(Result::is_err));
        self.state.observed.published(failed, Instant::now());
        if failed {
            let error = results
                .iter()
                .flatten()
                .find_map(|result| result.as_ref().err())
                .map(ToString::to_string);
            tracing::warn!(error, "price events were not acknowledged");
        }
        results
    }
}
