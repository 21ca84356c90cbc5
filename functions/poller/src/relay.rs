//! Relays: invocations that serve the ticks of many jobs between two firings.
//!
//! A relay's schedule fires every minute. Its invocation reads once a second which ticks of its jobs
//! are due, claims them together, gathers them into parties (`party`) that share requests, and
//! polls each party in a task of its own. It ends when a later firing is recorded on the relay, and
//! at the latest two minutes after its own. Ticks lie on whole seconds, so each begins when it is
//! due, and a new, changed, paused or deleted job takes effect at its next tick.

use std::collections::HashMap;

use chrono::TimeDelta;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use shared::market::Timestamp;
use shared::repository;
use shared::repository::polling_jobs;
use shared::repository::polling_runs::{self, Claim, ClaimOutcome};
use shared::repository::relays;
use tracing::warn;
use uuid::Uuid;

use crate::in_flight::InFlight;
use crate::limits::Limits;
use crate::party::{self, Tick};
use crate::{Ended, Firing, FiringError, Poller, Served, as_stored};

/// How often the leases of the ticks that are being served are renewed.
const RENEWAL: TimeDelta = TimeDelta::seconds(10);
/// Claims at the same time that take a transaction each. They leave connections to the runs that
/// end meanwhile.
const CLAIMS_AT_ONCE: usize = 2;

/// The event with which a relay's schedule invokes the poller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct RelayFiring {
    /// The relay's number.
    pub relay_id: i32,
    /// The time at which the schedule was to fire. The invocation may come later.
    #[serde(deserialize_with = "as_stored")]
    pub scheduled_time: Timestamp,
}

/// The result of a relay's invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ServedRelay {
    /// The relay's number.
    pub relay_id: i32,
    /// Ticks that this invocation polled.
    pub polled: u32,
    /// Why it ended.
    pub ended: Ended,
}

impl Poller {
    /// Serves the firing of a relay, and ends before `deadline`, at which the invocation is cut off.
    ///
    /// # Errors
    /// When the firing should come again: it is in the future, Postgres is unavailable, or the
    /// process is being stopped. A tick that cannot be served does not fail the invocation.
    pub async fn serve_relay(
        &self,
        firing: &RelayFiring,
        deadline: Timestamp,
    ) -> Result<ServedRelay, FiringError> {
        let &RelayFiring {
            relay_id,
            scheduled_time,
        } = firing;
        self.check_due(scheduled_time)?;
        let limits = Limits::new(scheduled_time, deadline);

        // Recorded before anything is polled: the invocation of an earlier firing then ends.
        let note = || relays::note_firing(&self.pool, relay_id, scheduled_time);
        let exists = self
            .patiently("note the firing", limits.relays_until, &limits, note)
            .await?;
        if !exists {
            return Ok(ServedRelay {
                relay_id,
                polled: 0,
                ended: Ended::NoSuchRelay,
            });
        }

        let mut in_flight = InFlight::default();
        let ended = self.relay(firing, &limits, &mut in_flight).await;
        // Whatever ended it: what it claimed is its own, and no other invocation polls it.
        self.finish(&mut in_flight, &limits).await;

        Ok(ServedRelay {
            relay_id,
            polled: in_flight.begun(),
            ended: ended?,
        })
    }

    /// Serves the relay of a job whose own schedule fires. Earlier versions created such schedules,
    /// and a job may have had an interval of whole minutes. Upkeep removes them once the relay's
    /// own schedule exists; until then their firings serve the relay.
    pub(crate) async fn serve_relay_of(
        &self,
        firing: &Firing,
        deadline: Timestamp,
        limits: &Limits,
    ) -> Result<Served, FiringError> {
        let &Firing {
            job_id,
            scheduled_time,
        } = firing;

        let settle = || relays::settle_existing(&self.pool, job_id, self.relay_jobs);
        let relay = self
            .patiently("find the job's relay", limits.relays_until, limits, settle)
            .await?;
        let Some(relay) = relay else {
            return Ok(Served {
                job_id,
                polled: 0,
                ended: Ended::NoSuchJob,
            });
        };

        let firing = RelayFiring {
            relay_id: relay.relay_id,
            scheduled_time,
        };
        let served = self.serve_relay(&firing, deadline).await?;
        Ok(Served {
            job_id,
            polled: served.polled,
            ended: served.ended,
        })
    }

    async fn relay(
        &self,
        firing: &RelayFiring,
        limits: &Limits,
        in_flight: &mut InFlight,
    ) -> Result<Ended, FiringError> {
        let mut renewed_at = self.clock.now();

        loop {
            self.begin_due_ticks(firing.relay_id, limits, in_flight)
                .await?;
            if self.clock.now() >= renewed_at + RENEWAL {
                renewed_at = self.clock.now();
                self.renew_all(in_flight, limits).await;
            }

            // After the first round, so that a late firing still serves the newest past ticks.
            let get = || relays::get(&self.pool, firing.relay_id);
            let relay = self
                .patiently("read the relay", limits.relays_until, limits, get)
                .await?;
            let Some(relay) = relay else {
                return Ok(Ended::NoSuchRelay);
            };
            if relay.last_firing_at > Some(firing.scheduled_time) {
                return Ok(Ended::Relieved);
            }

            let next = next_second(self.clock.now());
            if next > limits.relays_until {
                return Ok(Ended::Done);
            }
            self.wait_until(next).await?;
        }
    }

    /// Claims the ticks that are due and begins to poll them, each party by itself. A job whose last
    /// tick is still being served waits for its end, and no other job waits for it.
    async fn begin_due_ticks(
        &self,
        relay_id: i32,
        limits: &Limits,
        in_flight: &mut InFlight,
    ) -> Result<(), FiringError> {
        if self.stopping.is_cancelled() {
            return Err(FiringError::Stopping);
        }

        in_flight.reap();
        let busy: Vec<Uuid> = in_flight
            .claims()
            .iter()
            .map(|claim| claim.job_id)
            .collect();
        let room = i64::from(self.relay_jobs) - i64::try_from(busy.len()).unwrap_or(i64::MAX);
        if room <= 0 {
            return Ok(());
        }

        let due = || relays::due(&self.pool, relay_id, self.clock.now(), &busy, room);
        let due = self
            .patiently("read the due ticks", limits.relays_until, limits, due)
            .await?;
        if due.is_empty() {
            return Ok(());
        }

        // The claims are the same for all attempts, as those of single ticks.
        let claims: Vec<Claim> = due
            .iter()
            .map(|due| Claim::new(due.job_id, due.tick_time))
            .collect();
        let claim = || polling_runs::claim_successors(&self.pool, &claims, self.clock.now());
        let held = self
            .patiently("claim the ticks", limits.relays_until, limits, claim)
            .await?;
        let (together, others): (Vec<Claim>, Vec<Claim>) = claims
            .into_iter()
            .partition(|claim| held.contains(&claim.claim_id));
        self.begin(together, limits, in_flight).await?;

        // After those have begun: each of these takes a transaction, and after an outage they are
        // many.
        let claim = || self.claim_each(&others);
        let others = self
            .patiently("claim the ticks", limits.relays_until, limits, claim)
            .await?;
        self.begin(others, limits, in_flight).await
    }

    /// Claims ticks whose claims also record gaps and close runs that were abandoned; returns the
    /// claims that hold.
    async fn claim_each(&self, claims: &[Claim]) -> Result<Vec<Claim>, repository::Error> {
        // Collected first: the compiler cannot prove that a stream of borrowing futures may move
        // between threads.
        let claiming: Vec<_> = claims
            .iter()
            .map(|claim| async move {
                let now = self.clock.now();
                let outcome = polling_runs::claim_unless_locked(&self.pool, claim, now).await?;
                Ok::<_, repository::Error>((*claim, outcome))
            })
            .collect();

        let outcomes: Vec<_> = stream::iter(claiming)
            .buffer_unordered(CLAIMS_AT_ONCE)
            .try_collect()
            .await?;
        let held = |(claim, outcome): (Claim, Option<ClaimOutcome>)| {
            (outcome == Some(ClaimOutcome::Claimed)).then_some(claim)
        };
        Ok(outcomes.into_iter().filter_map(held).collect())
    }

    /// Begins to poll ticks that are claimed.
    async fn begin(
        &self,
        claims: Vec<Claim>,
        limits: &Limits,
        in_flight: &mut InFlight,
    ) -> Result<(), FiringError> {
        if claims.is_empty() {
            return Ok(());
        }
        let job_ids: Vec<Uuid> = claims.iter().map(|claim| claim.job_id).collect();
        let mut claimed: HashMap<Uuid, Claim> = claims
            .into_iter()
            .map(|claim| (claim.job_id, claim))
            .collect();

        // Read after the claims, so that a change that was committed before a tick takes effect.
        let get = || polling_jobs::get_all(&self.pool, &job_ids);
        let jobs = self
            .patiently("read the jobs", limits.relays_until, limits, get)
            .await?;

        let ticks = jobs.into_iter().filter_map(|job| {
            let claim = claimed.remove(&job.job_id)?;
            Some(Tick::new(job, claim))
        });
        let limits_of = |name: &_| self.providers.get(name).map(|provider| provider.limits());

        for party in party::gather(ticks.collect(), limits_of) {
            let (poller, limits, held) = (self.clone(), *limits, in_flight.held());
            let claims = party.iter().map(|tick| tick.claim).collect();
            in_flight.begin(
                claims,
                async move { poller.poll(party, &limits, &held).await },
            );
        }
        Ok(())
    }

    /// Waits for the ticks that are being served. Each ends by itself before the invocation's end.
    async fn finish(&self, in_flight: &mut InFlight, limits: &Limits) {
        while !in_flight.is_empty() {
            tokio::select! {
                () = in_flight.one_ends() => {}
                () = self.clock.wait_until(self.clock.now() + RENEWAL) => {
                    self.renew_all(in_flight, limits).await;
                }
            }
        }
    }

    /// Renews the leases of all ticks that are being served: polling one may take longer than a
    /// lease. A failure is left to the next renewal, and to those of the polls.
    async fn renew_all(&self, in_flight: &InFlight, limits: &Limits) {
        let claims = in_flight.claims();
        if claims.is_empty() {
            return;
        }

        let renew = || polling_runs::renew_all(&self.pool, &claims, self.clock.now());
        let until = self.clock.now();
        if let Err(error) = self
            .patiently("renew the claims", until, limits, renew)
            .await
        {
            warn!(%error, "claims not renewed");
        }
    }
}

/// The next whole second after `now`.
fn next_second(now: Timestamp) -> Timestamp {
    Timestamp::from_timestamp(now.timestamp() + 1, 0).unwrap_or(now + TimeDelta::seconds(1))
}
