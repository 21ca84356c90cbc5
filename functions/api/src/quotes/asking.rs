//! Asks one provider for the symbols of a request, in batches.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use futures::stream::{self, StreamExt};
use shared::acquisition::{Course, Loss, Request, Wish, acquire};
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
}

impl Asking<'_> {
    /// Requests the symbols in batches, several at the same time. They are unordered, so that a
    /// slow batch does not delay the start of later ones.
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

    /// The end of the time in which a provider's answer can still be stored and published.
    fn last_answer(&self) -> Deadline {
        self.deadline.leaving(STORE_TIMEOUT + PUBLISH_TIMEOUT)
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
        self.last_answer().left().min(FETCH_TIMEOUT)
    }

    async fn pause(&self, wait: Duration) -> Result<bool, Problem> {
        if wait > BUDGET_WAIT {
            return Ok(false);
        }

        let waited = self.last_answer().wait(sleep(wait)).await;
        Ok(waited.is_some())
    }

    /// Waits for the provider only as long as its answer can still be stored and published.
    async fn fetch(&self, request: Request<'_>) -> Result<Result<Answer, ProviderError>, Problem> {
        let (provider, time) = (self.provider.name(), self.state.asking_time);

        let fetched = self.last_answer().wait(timeout(FETCH_TIMEOUT, request));
        let answer = fetched
            .await
            .ok_or_else(|| Problem::out_of_time(provider, time))?;

        let timed_out = |_| {
            Err(ProviderError::TimedOut {
                provider: provider.clone(),
            })
        };
        Ok(answer.unwrap_or_else(timed_out))
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
