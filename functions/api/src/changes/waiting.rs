//! Waits until something is stored that clients follow.
//!
//! All requests of an instance that wait share one look at the fences a second. A look closes its
//! connection and those that are idle, since each of thousands of instances that wait would keep
//! one otherwise.

use std::sync::Arc;
use std::time::Duration;

use shared::repository::Error;
use shared::repository::changes::{self, Counts};
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

/// Time between two looks at the fences.
const INTERVAL: Duration = Duration::from_secs(1);
/// Longest that a look takes, and that closing its connection takes.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// The last look at the fences of this instance.
#[derive(Debug, Default)]
pub(crate) struct Fences(Mutex<Option<(Instant, Arc<Counts>)>>);

impl Fences {
    /// Waits until a fence of `known` has another count, but not beyond `deadline`. Returns whether
    /// one has.
    ///
    /// A look that fails is repeated a second later: Postgres may be starting again.
    ///
    /// # Errors
    /// When the last look failed.
    pub(super) async fn changed(
        &self,
        pool: &PgPool,
        known: &Counts,
        deadline: Instant,
    ) -> Result<bool, Error> {
        let mut outcome = Ok(false);

        while Instant::now() < deadline {
            sleep_until(deadline.min(Instant::now() + INTERVAL)).await;

            outcome = match self.look(pool).await {
                Ok(counts) if has_changed(known, &counts) => return Ok(true),
                looked => looked.map(|_| false),
            };
        }
        outcome
    }

    /// The counts as they were within the last second.
    async fn look(&self, pool: &PgPool) -> Result<Arc<Counts>, Error> {
        // The others wait for the one that looks, and use what it saw.
        let mut last = self.0.lock().await;
        if let Some((at, counts)) = &*last
            && at.elapsed() < INTERVAL
        {
            return Ok(Arc::clone(counts));
        }

        let began = Instant::now();
        let counts = timeout(PATIENCE, look(pool)).await;
        let counts = Arc::new(counts.unwrap_or_else(|_| Err(Error::unanswered()))?);
        *last = Some((began, Arc::clone(&counts)));
        Ok(counts)
    }
}

async fn look(pool: &PgPool) -> Result<Counts, Error> {
    let mut connection = pool.acquire().await?;
    let counts = changes::counts(&mut *connection).await;
    close(pool, connection).await;
    counts
}

/// Closes the connection, and those that requests left in the pool. One that cannot be closed in
/// time is dropped.
async fn close(pool: &PgPool, connection: PoolConnection<Postgres>) {
    let mut next = Some(connection);
    while let Some(connection) = next {
        let _closed = timeout(PATIENCE, connection.close()).await;
        next = pool.try_acquire();
    }
}

/// Whether a fence has another count than the one that is known: a greater one, or a smaller one
/// after a restore.
fn has_changed(known: &Counts, found: &Counts) -> bool {
    known
        .iter()
        .any(|(shard, count)| found.get(shard) != Some(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_fences_that_are_followed_count() {
        let known = Counts::from([(1, 10), (2, 20)]);
        for (found, expected) in [
            (Counts::from([(1, 10), (2, 20), (3, 99)]), false),
            (Counts::from([(1, 11), (2, 20)]), true),
            (Counts::from([(1, 10), (2, 19)]), true),
            (Counts::from([(1, 10)]), true),
        ] {
            assert_eq!(has_changed(&known, &found), expected, "{found:?}");
        }
    }
}
