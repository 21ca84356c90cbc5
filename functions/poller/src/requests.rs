//! Serves the runs that requests ask for: now, once, and beside the ticks.

use shared::market::Timestamp;
use shared::repository::polling_runs::Claim;

use crate::limits::Limits;
use crate::{Ended, FiringError, Poller, RunRequest, Served};

impl Poller {
    /// Polls the run that a request asked for, unless another invocation has polled it. A job that
    /// is paused or backs off is polled, too.
    ///
    /// # Errors
    /// When the event should come again: Postgres is unavailable, another poller holds the run for
    /// too long, or the process is being stopped.
    pub async fn serve_request(
        &self,
        request: &RunRequest,
        deadline: Timestamp,
    ) -> Result<Served, FiringError> {
        let &RunRequest {
            job_id,
            requested_at,
        } = request;
        let served = |polled: bool, ended| Served {
            job_id,
            polled: u32::from(polled),
            ended,
        };

        // Counted from now: Lambda may deliver the event long after the request.
        let limits = Limits::new(self.clock.now(), deadline);
        if self.job(job_id, &limits).await?.is_none() {
            return Ok(served(false, Ended::NoSuchJob));
        }

        let claim = Claim::of_request(job_id, requested_at);
        let polled = self.serve_only(&claim, &limits).await?;
        Ok(served(polled, Ended::Done))
    }
}
