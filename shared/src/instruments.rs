//! The spellings of our symbols that Postgres has, kept for a minute.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::PgPool;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::market::ProviderName;
use crate::provider::{Spelling, Spellings};
use crate::repository::{self, instruments};

/// How long a provider's spellings are used before they are read again, so that a poll does not
/// take a statement each time.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// Longest wait for the statement.
const PATIENCE: Duration = Duration::from_secs(2);

/// The spellings in Postgres.
#[derive(Debug)]
pub struct Instruments {
    pool: PgPool,
    /// What was read, and when. The lock is held while one caller reads, for all.
    known: Mutex<HashMap<ProviderName, (Instant, Arc<Spelling>)>>,
}

impl Instruments {
    /// The spellings in this database. The first request for one reads them.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self {
            pool,
            known: Mutex::default(),
        }
    }

    async fn read(&self, provider: &ProviderName) -> Option<Spelling> {
        let reading = instruments::of_provider(&self.pool, provider);
        let read = timeout(PATIENCE, reading).await;

        let read =
            read.unwrap_or_else(|_| Err(repository::Error::Unavailable(sqlx::Error::PoolTimedOut)));
        let read = read
            .inspect_err(|error| warn_not_read(provider, error))
            .ok()?;
        let spellings = read
            .into_iter()
            .map(|instrument| (instrument.symbol, instrument.spelling));
        Some(spellings.collect())
    }
}

fn warn_not_read(provider: &ProviderName, error: &repository::Error) {
    tracing::warn!(%error, %provider, "the spellings of symbols were not read");
}

#[async_trait]
impl Spellings for Instruments {
    /// If they cannot be read again, the ones read before are used.
    async fn of(&self, provider: &ProviderName) -> Option<Arc<Spelling>> {
        let mut known = self.known.lock().await;
        let before = known.get(provider);
        if let Some((read_at, spelling)) = before
            && read_at.elapsed() < KEPT_FOR
        {
            return Some(Arc::clone(spelling));
        }

        let before = before.map(|(_, spelling)| Arc::clone(spelling));
        match self.read(provider).await {
            Some(spelling) => {
                let spelling = Arc::new(spelling);
                let read = (Instant::now(), Arc::clone(&spelling));
                known.insert(provider.clone(), read);
                Some(spelling)
            }
            None => before,
        }
    }
}
