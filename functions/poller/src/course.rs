//! How the poller acquires quotes: under a claim, which it renews between the steps, and within the
//! invocation's time.

use async_trait::async_trait;
use shared::acquisition::{Course, Request};
use shared::market::{ProviderName, Timestamp};
use shared::price_event::PriceEvent;
use shared::price_log::PublishError;
use shared::provider::{Answer, ProviderError};
use shared::repository::polling_runs::{self, Claim};
use shared::repository::raw_responses::{self, RawResponse};

use crate::limits::{FETCH, Limits, PUBLISHING};
use crate::{FiringError, Poller};

/// The course of one request for a claimed tick.
pub(crate) struct ClaimedCourse<'a> {
    pub(crate) poller: &'a Poller,
    pub(crate) claim: &'a Claim,
    pub(crate) provider: &'a ProviderName,
    pub(crate) limits: &'a Limits,
}

/// Why a request ends before its quotes are published.
pub(crate) enum Stop {
    /// Another poller took the tick over, or the job is deleted.
    ClaimLost,
    /// Postgres refused a statement, or was unavailable for too long.
    Failed(FiringError),
}

impl From<FiringError> for Stop {
    fn from(error: FiringError) -> Self {
        Self::Failed(error)
    }
}

impl ClaimedCourse<'_> {
    /// Renews the claim; returns whether it still holds.
    pub(crate) async fn renew(&self, until: Timestamp) -> Result<bool, FiringError> {
        let poller = self.poller;
        let renew = || polling_runs::renew(&poller.pool, self.claim, poller.clock.now());

        poller
            .patiently(
                "renew the claim on the tick",
                poller.patience(until),
                self.limits,
                renew,
            )
            .await
    }
}

#[async_trait]
impl Course for ClaimedCourse<'_> {
    type Error = Stop;

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

    /// Renews the claim before anything is written: storing and publishing get a whole lease, and
    /// nothing is published for a tick that was taken over or a job that was deleted.
    async fn fetched(&self) -> Result<(), Stop> {
        if self.renew(self.limits.before_publishing()).await? {
            Ok(())
        } else {
            Err(Stop::ClaimLost)
        }
    }

    async fn store(&self, response: &RawResponse<'_>) -> Result<(), Stop> {
        let poller = self.poller;
        let until = poller.patience(self.limits.before_publishing());
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
