//! Serving the ticks that lie between two firings of a schedule.

use std::time::Duration;

use chrono::TimeDelta;
use shared::market::Timestamp;
use shared::repository::polling_jobs::PollingJob;
use shared::repository::polling_runs::{self, Claim, ClaimOutcome};

use crate::limits::Limits;
use crate::{Ended, Firing, FiringError, Poller, Served};

/// Before a wait shorter than this the database connection is kept: making a new one costs more
/// than holding it.
const KEEP_CONNECTION: TimeDelta = TimeDelta::seconds(1);
/// Longest that closing it takes: one that does not answer is left to the pool, which finds that
/// out before its next use.
const CLOSING: Duration = Duration::from_secs(1);

impl Poller {
    /// Polls the newest past tick, then each as it comes, until a later firing is noted on the job
    /// or no tick comes while a relay waits.
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
            let Some(job) = self.job(firing.job_id, limits).await? else {
                return Ok(Served {
                    ended: Ended::NoSuchJob,
                    ..served
                });
            };
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

    /// Polls a tick unless somebody else did. While somebody else does, it is waited for what comes
    /// of that: with the poller's end the lease passes, and the tick is ours.
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

    /// Polls a tick if it can be claimed.
    async fn serve_tick(
        &self,
        job: &PollingJob,
        tick: Timestamp,
        limits: &Limits,
    ) -> Result<ClaimOutcome, FiringError> {
        if self.stopping.is_cancelled() {
            return Err(FiringError::Stopping);
        }
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

    async fn wait_unconnected(&self, time: Timestamp) -> Result<(), FiringError> {
        if time - self.clock.now() >= KEEP_CONNECTION {
            // What comes of closing it does not matter any more.
            let _ = self.within(CLOSING, time, self.close_connections()).await;
        }
        self.wait_until(time).await
    }

    async fn close_connections(&self) {
        for _ in 0..self.pool.size() {
            // Acquired, since a connection just used is on its way back to the pool for a moment
            // still.
            if let Ok(connection) = self.pool.acquire().await {
                let _ = connection.close().await;
            }
        }
    }
}

/// The newest past tick, unless it was served already or lies in the back-off.
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
