//! How the poller acquires quotes: under claims, which it renews between the steps, and within the
//! invocation's time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use shared::acquisition::{Course, Request};
use shared::market::{ProviderName, Timestamp};
use shared::price_event::PriceEvent;
use shared::price_log::PublishError;
use shared::provider::{Answer, ProviderError};
use shared::repository;
use shared::repository::polling_runs::{self, Claim};
use shared::repository::raw_responses::{self, RawResponse};
use sqlx::PgPool;

use crate::limits::{FETCH, Limits, PUBLISHING};
use crate::{FiringError, Poller};

/// The course of one request for claimed ticks.
pub(crate) struct ClaimedCourse<'a> {
    pub(crate) limits: &'a Limits,
    /// The claims of the ticks that want the quotes.
    pub(crate) claims: Vec<Claim>,
    poller: &'a Poller,
    provider: &'a ProviderName,
    /// Until when it waits for the provider's budget.
    waits_until: Timestamp,
    /// Whether the budget would have been empty for longer.
    was_refused: AtomicBool,
}

/// How long a wait for a budget lasts before the claims are renewed.
const RENEWED_EVERY: TimeDelta = TimeDelta::seconds(10);

/// Why a request ends before its quotes are published.
pub(crate) enum Stop {
    /// Other pollers took all of the ticks over, or their jobs are deleted.
    ClaimsLost,
    /// Postgres refused a statement, or was unavailable for too long.
    Failed(FiringError),
}

impl From<FiringError> for Stop {
    fn from(error: FiringError) -> Self {
        Self::Failed(error)
    }
}

impl<'a> ClaimedCourse<'a> {
    pub(crate) fn new(
        poller: &'a Poller,
        claims: Vec<Claim>,
        provider: &'a ProviderName,
        limits: &'a Limits,
        waits_until: Timestamp,
    ) -> Self {
        Self {
            limits,
            claims,
            poller,
            provider,
            waits_until,
            was_refused: AtomicBool::new(false),
        }
    }

    /// Renews the claims; returns whether one of them still holds.
    pub(crate) async fn renew(&self, until: Timestamp) -> Result<bool, FiringError> {
        let poller = self.poller;
        let renew = || polling_runs::renew_all(&poller.pool, &self.claims, poller.clock.now());

        let held = poller.patiently(
            "renew the claims on the ticks",
            poller.postgres_until(until),
            self.limits,
            renew,
        );
        Ok(!held.await?.is_empty())
    }

    /// The claims, and whether the budget was empty for longer than the request could wait.
    pub(crate) fn ended(self) -> (Vec<Claim>, bool) {
        (self.claims, self.was_refused.into_inner())
    }
}

#[async_trait]
impl Course for ClaimedCourse<'_> {
    type Error = Stop;

    fn pool(&self) -> &PgPool {
        &self.poller.pool
    }

    async fn postgres<T, F, S>(&self, step: &'static str, statement: S) -> Result<T, Stop>
    where
        T: Send,
        F: Future<Output = Result<T, repository::Error>> + Send,
        S: Fn() -> F + Send + Sync,
    {
        let until = self.poller.postgres_until(self.limits.before_publishing());
        let result = self.poller.patiently(step, until, self.limits, statement);
        Ok(result.await?)
    }

    fn longest_wait_for_others(&self) -> Duration {
        let left = self.limits.before_publishing() - self.poller.clock.now();
        left.to_std().unwrap_or_default().min(FETCH)
    }

    /// Renews the claims while it waits, because a wait may be longer than the lease.
    async fn pause(&self, wait: Duration) -> Result<bool, Stop> {
        let clock = &self.poller.clock;
        let end = TimeDelta::from_std(wait)
            .ok()
            .and_then(|wait| clock.now().checked_add_signed(wait))
            .filter(|end| *end <= self.waits_until);
        let Some(end) = end else {
            self.was_refused.store(true, Ordering::Relaxed);
            return Ok(false);
        };

        while clock.now() < end {
            let next = end.min(clock.now() + RENEWED_EVERY);
            self.poller.wait_until(next).await?;

            if next < end && !self.renew(self.limits.before_publishing()).await? {
                return Err(Stop::ClaimsLost);
            }
        }
        Ok(true)
    }

    async fn fetch(&self, request: Request<'_>) -> Result<Result<Answer, ProviderError>, Stop> {
        let late = || {
            Err(ProviderError::TimedOut {
                provider: self.provider.clone(),
            })
        };

        let until = self.limits.before_publishing();
        let answer = self.poller.within(FETCH, until, request).await;
        Ok(answer.unwrap_or_else(late))
    }

    /// Renews the claims before anything is written: storing and publishing get a whole lease, and
    /// nothing is published if all ticks were taken over or their jobs deleted.
    async fn fetched(&self) -> Result<(), Stop> {
        if self.renew(self.limits.before_publishing()).await? {
            Ok(())
        } else {
            Err(Stop::ClaimsLost)
        }
    }

    async fn store(&self, response: &RawResponse<'_>) -> Result<(), Stop> {
        let poller = self.poller;
        let until = poller.postgres_until(self.limits.before_publishing());
        let insert = || raw_responses::insert(&poller.pool, response);

        poller
            .patiently("store the raw response", until, self.limits, insert)
            .await?;
        Ok(())
    }

    async fn append(&self, events: &[PriceEvent]) -> Option<Vec<Result<(), PublishError>>> {
        let appending = self.poller.price_log.append(events);
        self.poller
            .within(PUBLISHING, self.limits.published_by, appending)
            .await
    }
}
