//! Serves the ticks between two firings of a schedule.

use shared::market::Timestamp;
use shared::repository::polling_jobs::PollingJob;
use shared::repository::polling_runs::ClaimOutcome;

use crate::limits::Limits;
use crate::{Ended, Firing, FiringError, Poller, Served};

impl Poller {
    /// Polls the newest past tick of `job`, then each tick when it is due, until a later firing is
    /// recorded on the job or the next tick is after `limits.relays_until`.
    pub(crate) async fn relay(
        &self,
        firing: &Firing,
        mut job: PollingJob,
        limits: &Limits,
    ) -> Result<Served, FiringError> {
        let mut served = Served {
            job_id: firing.job_id,
            polled: 0,
            ended: Ended::Done,
        };
        let mut newest = None;

        loop {
            if job.paused_at.is_some() {
                return Ok(Served {
                    ended: Ended::Paused,
                    ..served
                });
            }

            let now = self.clock.now();
            if let Some(tick) = due_tick(&job, newest, now) {
                let outcome = self.serve_tick(&job, tick, limits).await?;
                served.polled += u32::from(outcome == ClaimOutcome::Claimed);
                match outcome {
                    // If its poller has ended, the tick is taken over. A longer wait would miss the
                    // next tick.
                    ClaimOutcome::Held(until) if self.may_wait(&job, until, limits) => {
                        self.wait_unconnected(until).await?;
                    }
                    _ => newest = Some(tick),
                }
            } else {
                let next = job.next_tick_at(now);
                if next > limits.relays_until {
                    return Ok(served);
                }
                self.wait_unconnected(next).await?;
            }

            // Read again in each round: another process records later firings, deletions and
            // back-offs. The checks come after the first round, so that a late firing still serves
            // the newest past tick.
            let Some(current) = self.job(firing.job_id, limits).await? else {
                return Ok(Served {
                    ended: Ended::NoSuchJob,
                    ..served
                });
            };
            if current.last_firing_at > Some(firing.scheduled_time) {
                return Ok(Served {
                    ended: Ended::Relieved,
                    ..served
                });
            }
            if self.clock.now() > limits.relays_until {
                return Ok(served);
            }
            job = current;
        }
    }

    /// Whether a lease that another poller has on the newest tick ends before the job's next tick,
    /// and within the relay's time.
    fn may_wait(&self, job: &PollingJob, lease_until: Timestamp, limits: &Limits) -> bool {
        let next_tick = job.grid().next_after(self.clock.now());
        lease_until < next_tick.min(limits.relays_until)
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
            overdue_at: None,
            backing_off_since: None,
            active_since: None,
            paused_at: None,
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
