//! The counts of the fences, and whether a position belongs to what they count.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgExecutor;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::{Position, ReadError, SeriesPosition, StoredSeries};
use crate::repository::Error;

/// The counts of fences, by the fence's number.
pub type Counts = BTreeMap<i32, i64>;

/// The present counts of all fences: one short statement, for clients that wait.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn counts(executor: impl PgExecutor<'_>) -> Result<Counts, Error> {
    let rows: Vec<(i32, i64)> = sqlx::query_as("select shard_id, version from ingest_fences")
        .fetch_all(executor)
        .await?;
    Ok(rows.into_iter().collect())
}

/// Fences as one snapshot sees them.
#[derive(Debug)]
pub(super) struct Fences(BTreeMap<i32, Fence>);

#[derive(Debug, sqlx::FromRow)]
struct Fence {
    shard_id: i32,
    /// The count of the batches.
    version: i64,
    /// The last epoch.
    epoch: Uuid,
    /// The count with which the oldest epoch that is kept began.
    oldest: i64,
}

impl Fences {
    pub(super) async fn read(
        connection: &mut PgConnection,
        shards: BTreeSet<i32>,
    ) -> Result<Self, Error> {
        let rows: Vec<Fence> = sqlx::query_as(
            "select f.shard_id, f.version, f.epoch,
                    coalesce((select min(e.version) from ingest_epochs e where e.shard_id = f.shard_id), 0) as oldest
             from ingest_fences f where f.shard_id = any($1)",
        )
        .bind(shards.into_iter().collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;

        let by_number = rows.into_iter().map(|fence| (fence.shard_id, fence));
        Ok(Self(by_number.collect()))
    }

    pub(super) fn counts(&self) -> Counts {
        let counts = self.0.iter().map(|(shard, fence)| (*shard, fence.version));
        counts.collect()
    }

    /// The count of a fence.
    pub(super) fn version(&self, shard: i32) -> i64 {
        self.0.get(&shard).map_or(0, |fence| fence.version)
    }

    /// What a position keeps of the last epoch of a fence.
    pub(super) fn epoch(&self, shard: i32) -> u32 {
        self.0.get(&shard).map_or(0, |fence| shortened(fence.epoch))
    }

    /// Checks that a position belongs to what is stored, and that all changes since are known.
    ///
    /// # Errors
    /// [`ReadError::Gone`] if not.
    pub(super) async fn check(
        &self,
        connection: &mut PgConnection,
        series: &[StoredSeries],
        position: &Position,
    ) -> Result<(), ReadError> {
        for series in series {
            let Some(known) = position.series.get(&series.series_id) else {
                continue;
            };

            let fence = self.0.get(&series.shard).ok_or(ReadError::Gone)?;
            let epoch = position.epochs.get(&series.shard);
            let epoch = *epoch.ok_or(ReadError::Gone)?;

            let is_ahead = known.version > fence.version || known.newest > series.last_at;
            let is_forgotten = known.version.saturating_add(1) < fence.oldest;
            if is_ahead || is_forgotten {
                return Err(ReadError::Gone);
            }
            if epoch != shortened(fence.epoch) && !belongs(connection, fence, epoch, known).await? {
                return Err(ReadError::Gone);
            }
        }
        Ok(())
    }
}

/// Whether a position that was read in `epoch` is before the epoch's end.
async fn belongs(
    connection: &mut PgConnection,
    fence: &Fence,
    epoch: u32,
    known: &SeriesPosition,
) -> Result<bool, Error> {
    let epochs: Vec<(i64, Uuid)> = sqlx::query_as(
        "select version, epoch from ingest_epochs where shard_id = $1 order by version",
    )
    .bind(fence.shard_id)
    .fetch_all(connection)
    .await?;

    let mut later = epochs
        .iter()
        .skip_while(|(_, begun)| shortened(*begun) != epoch);
    let is_known = later.next().is_some();
    let ends_after = later.next().is_none_or(|(next, _)| known.version < *next);
    Ok(is_known && ends_after)
}

/// The part of an epoch's random identity that positions keep.
fn shortened(epoch: Uuid) -> u32 {
    let [a, b, c, d, ..] = epoch.into_bytes();
    u32::from_be_bytes([a, b, c, d])
}
