//! Serves one run: claims it, polls it, or waits for the poller that holds it.

use std::time::Duration;

use chrono::TimeDelta;
use shared::market::Timestamp;
use shared::repository::polling_runs::{self, Claim, ClaimOutcome};

use crate::in_flight::Held;
use crate::limits::Limits;
use crate::party::Tick;
use crate::{FiringError, Poller};

/// Before a wait shorter than this the database connection is kept: opening a new one costs more
/// than holding it.
const KEEP_CONNECTION: TimeDelta = TimeDelta::seconds(1);
/// Longest that closing a connection may take. One that does not answer is left to the pool, which
/// tests it before its next use.
const CLOSING: Duration = Duration::from_secs(1);

impl Poller {
    /// Polls a run unless another poller has polled it; returns whether it did. While another
    /// poller holds it, waits until the lease expires and claims again: if that poller has ended
    /// without a result, this one takes the run over.
    pub(crate) async fn serve_only(
        &self,
        claim: &Claim,
        limits: &Limits,
    ) -> Result<bool, FiringError> {
        loop {
            match self.serve_claim(claim, limits).await? {
                ClaimOutcome::Held(lease_until) if lease_until > limits.last_start => {
                    return Err(FiringError::Held);
                }
                ClaimOutcome::Held(lease_until) => self.wait_unconnected(lease_until).await?,
                outcome => return Ok(outcome == ClaimOutcome::Claimed),
            }
        }
    }

    /// Polls a run if the claim is granted, and returns the outcome of the claim.
    ///
    /// It is one claim for all attempts: if the answer to an attempt is lost, the next one finds
    /// the run held by this claim, not by another poller.
    async fn serve_claim(
        &self,
        claim: &Claim,
        limits: &Limits,
    ) -> Result<ClaimOutcome, FiringError> {
        if self.stopping.is_cancelled() {
            return Err(FiringError::Stopping);
        }

        let attempt = || polling_runs::claim(&self.pool, claim, self.clock.now());
        let outcome = self
            .patiently("claim the tick", limits.relays_until, limits, attempt)
            .await?;

        if outcome != ClaimOutcome::Claimed {
            return Ok(outcome);
        }

        // Read after the claim, which may have waited long, so that a change that was committed
        // before takes effect. A job that was deleted meanwhile polls nothing.
        if let Some(job) = self.job(claim.job_id, limits).await? {
            let tick = Tick::new(job, *claim);
            self.poll(vec![tick], limits, &Held::default()).await?;
        }
        Ok(outcome)
    }

    /// Waits until `time`. Before a wait of [`KEEP_CONNECTION`] or longer, closes the connection to
    /// Postgres.
    pub(crate) async fn wait_unconnected(&self, time: Timestamp) -> Result<(), FiringError> {
        if time - self.clock.now() >= KEEP_CONNECTION {
            // The pool replaces a connection that could not be closed in time.
            let _ = self.within(CLOSING, time, self.close_connections()).await;
        }

        self.wait_until(time).await
    }

    async fn close_connections(&self) {
        for _ in 0..self.pool.size() {
            // Acquired, not tried: for a moment after its use, a connection is still on its way
            // back to the pool.
            if let Ok(connection) = self.pool.acquire().await {
                let _ = connection.close().await;
            }
        }
    }
}
