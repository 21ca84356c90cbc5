//! Serves the ticks between two firings of a schedule.

use std::time::Duration;

use chrono::TimeDelta;
use shared::market::Timestamp;
use shared::repository::polling_jobs::PollingJob;
use shared::repository::polling_runs::{self, Claim, ClaimOutcome};

use crate::limits::Limits;
use crate::{Ended, Firing, FiringError, Poller, Served};

/// Before a wait shorter than this the database connection is kept: opening a new one costs more
/// than holding it.
const KEEP_CONNECTION: TimeDelta = TimeDelta::seconds(1);
/// Longest that closing a connection may take. One that does not answer is left to the pool, which
/// tests it before its next use.
const CLOSING: Duration = Duration::from_secs(1);

impl Poller {
    /// Polls the newest past tick, then each tick when it is due, until a later firing is recorded
    /// on the job or the next tick is after `limits.relays_until`.
    pub(crate) async fn relay(
        &self,
        firing: &Firing,
        limits: &Limits,
    ) -> Result<Served, FiringError> {
        let mut served = Served {
            job_id: firing.job_id,
            polled: 0,
            ended: Ended::Done,
        };
        let mut newest = None;
        let mut begun = false;

        loop {
            // Read again in each round: another process records later firings, deletions and
            // back-offs.
            let Some(job) = self.job(firing.job_id, limits).await? else {
                return Ok(Served {
                    ended: Ended::NoSuchJob,
                    ..served
                });
            };

            // These two checks follow the first round, so that a late firing still serves the
            // newest past tick.
            let now = self.clock.now();
            if begun && job.last_firing_at > Some(firing.scheduled_time) {
                return Ok(Served {
                    ended: Ended::Relieved,
                    ..served
                });
            }
            if begun && now > limits.relays_until {
                return Ok(served);
            }
            begun = true;

            if let Some(tick) = due_tick(&job, newest, now) {
                let outcome = self.serve_tick(&job, tick, limits).await?;
                served.polled += u32::from(outcome == ClaimOutcome::Claimed);
                newest = Some(tick);
                continue;
            }

            let next = job.next_tick_at(now);
            if next > limits.relays_until {
                return Ok(served);
            }
            self.wait_unconnected(next).await?;
        }
    }

    /// Polls a tick unless another poller has polled it; returns whether it did. While another
    /// poller holds the tick, waits until the lease expires and claims again: if that poller has
    /// ended without a result, this one takes the tick over.
    pub(crate) async fn serve_only_tick(
        &self,
        job: &PollingJob,
        tick: Timestamp,
        limits: &Limits,
    ) -> Result<bool, FiringError> {
        loop {
            match self.serve_tick(job, tick, limits).await? {
                ClaimOutcome::Held(lease_until) if lease_until > limits.last_start => {
                    return Err(FiringError::Held);
                }
                ClaimOutcome::Held(lease_until) => self.wait_unconnected(lease_until).await?,
                outcome => return Ok(outcome == ClaimOutcome::Claimed),
            }
        }
    }

    /// Polls a tick if it can be claimed, and returns the outcome of the claim.
    async fn serve_tick(
        &self,
        job: &PollingJob,
        tick: Timestamp,
        limits: &Limits,
    ) -> Result<ClaimOutcome, FiringError> {
        if self.stopping.is_cancelled() {
            return Err(FiringError::Stopping);
        }

        // One claim for all attempts: if the answer to an attempt is lost, the next one finds the
        // tick held by this claim, not by another poller.
        let claim = Claim::new(job.job_id, tick);
        let attempt = || polling_runs::claim(&self.pool, &claim, self.clock.now());
        let outcome = self
            .patiently("claim the tick", limits.relays_until, limits, attempt)
            .await?;

        if outcome == ClaimOutcome::Claimed {
            self.poll(job, &claim, limits).await?;
        }
        Ok(outcome)
    }

    /// Waits until `time`. Before a wait of [`KEEP_CONNECTION`] or longer, closes the connection to
    /// Postgres.
    async fn wait_unconnected(&self, time: Timestamp) -> Result<(), FiringError> {
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

/// The newest past tick, unless it has been served or lies before the end of the back-off.
fn due_tick(job: &PollingJob, served: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    job.grid()
        .newest_at(now)
        .filter(|tick| Some(*tick) > served && Some(*tick) >= job.backing_off_until)
}

#[cfg(test)]
mod tests {
    use shared::tick::Grid;
    use uuid::Uuid;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn job(backing_off_until: Option<Timestamp>) -> PollingJob {
        let job = PollingJob {
            job_id: Uuid::nil(),
            symbols: vec![],
            provider: "replay".parse().unwrap(),
            interval_seconds: 10,
            start_at: at(0),
            created_at: at(-1),
            last_firing_at: None,
            consecutive_failures: 0,
            backing_off_until,
            overdue_at: Timestamp::MAX_UTC,
            last_run: None,
        };
        assert_eq!(job.grid(), Grid::new(at(0), 10));
        job
    }

    #[test]
    fn the_newest_past_tick_is_due_and_older_ones_never() {
        assert_eq!(due_tick(&job(None), None, at(-1)), None);
        assert_eq!(due_tick(&job(None), None, at(35)), Some(at(30)));
        assert_eq!(due_tick(&job(None), Some(at(0)), at(35)), Some(at(30)));
    }

    #[test]
    fn a_tick_is_due_once() {
        assert_eq!(due_tick(&job(None), Some(at(30)), at(35)), None);
        assert_eq!(due_tick(&job(None), Some(at(30)), at(40)), Some(at(40)));
    }

    #[test]
    fn ticks_before_the_end_of_the_back_off_are_not_due() {
        assert_eq!(due_tick(&job(Some(at(40))), None, at(39)), None);
        assert_eq!(due_tick(&job(Some(at(40))), None, at(40)), Some(at(40)));
        assert_eq!(due_tick(&job(Some(at(35))), None, at(39)), None);
        assert_eq!(job(Some(at(35))).next_tick_at(at(39)), at(40));
    }
}
