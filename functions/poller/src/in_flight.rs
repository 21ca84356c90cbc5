//! The ticks that a relay is serving: each party in a task of its own, so that none delays another.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::repository::polling_runs::Claim;
use tokio::task::{Id, JoinError, JoinSet};
use tracing::error;
use uuid::Uuid;

use crate::FiringError;

/// The claims of the ticks that are being served, by their job.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held(Arc<Mutex<HashMap<Uuid, Claim>>>);

/// The ticks that are being served.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    tasks: JoinSet<Result<(), FiringError>>,
    parties: HashMap<Id, Vec<Claim>>,
    held: Held,
    begun: u32,
}

impl Held {
    /// A tick is served: its job may be polled again.
    pub(crate) fn release(&self, claim: &Claim) {
        let mut held = self.lock();
        if held.get(&claim.job_id) == Some(claim) {
            held.remove(&claim.job_id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Claim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InFlight {
    /// Serves claimed ticks by `polling`.
    pub(crate) fn begin(
        &mut self,
        claims: Vec<Claim>,
        polling: impl Future<Output = Result<(), FiringError>> + Send + 'static,
    ) {
        let by_job = claims.iter().map(|claim| (claim.job_id, *claim));
        self.held.lock().extend(by_job);
        let ticks = u32::try_from(claims.len()).unwrap_or(u32::MAX);
        self.begun = self.begun.saturating_add(ticks);

        let task = self.tasks.spawn(polling);
        self.parties.insert(task.id(), claims);
    }

    /// Forgets the parties that are finished.
    pub(crate) fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.ended(ended);
        }
    }

    /// Waits until a party is finished. Returns at once if there is none.
    pub(crate) async fn one_ends(&mut self) {
        if let Some(ended) = self.tasks.join_next_with_id().await {
            self.ended(ended);
        }
    }

    /// A tick that could not be recorded stays claimed until its lease expires.
    fn ended(&mut self, ended: Result<(Id, Result<(), FiringError>), JoinError>) {
        let (id, error) = match ended {
            Ok((id, Ok(()))) => (id, None),
            Ok((id, Err(error))) => (id, Some(error.to_string())),
            Err(error) => (error.id(), Some(error.to_string())),
        };

        let mut held = self.held.lock();
        for claim in self.parties.remove(&id).unwrap_or_default() {
            if held.get(&claim.job_id) != Some(&claim) {
                continue;
            }
            held.remove(&claim.job_id);

            let (job_id, tick) = (claim.job_id, claim.tick_time);
            if let Some(error) = &error {
                error!(%job_id, %tick, error, "tick {tick} of job {job_id} is not served");
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Where the ticks that are being served release their claims.
    pub(crate) fn held(&self) -> Held {
        self.held.clone()
    }

    /// The claims of the ticks that are being served.
    pub(crate) fn claims(&self) -> Vec<Claim> {
        self.held.lock().values().copied().collect()
    }

    /// The number of ticks that were begun.
    pub(crate) fn begun(&self) -> u32 {
        self.begun
    }
}
