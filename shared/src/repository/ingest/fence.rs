//! Fences: a lock on a share of all series, and a count of the batches that were stored behind it.
//!
//! One row lock guards hundreds of series, where a lock on each of their rows would cost as much as writing them. The
//! version tells a writer whether the tails it remembers are still the stored ones. Every writer of points takes the
//! fences of all series it writes.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;

use super::Error;
use crate::market::Timestamp;

/// Locked fences: shard, and version before this batch.
pub(super) type Fences = BTreeMap<i32, i64>;

/// Locks the fences in order, so that writers cannot deadlock, counts the batch at each, and tells what the count was as
/// their last holder left it. Beside them stands the oldest quote time that still has a partition, if retention dropped
/// any. Should it drop one right after this, writing to that fails the batch, and the next attempt reads it here.
pub(super) async fn pass(
    connection: &mut PgConnection,
    shards: &[i32],
) -> Result<(Fences, Option<Timestamp>), Error> {
    // The locks are taken in the order of the subquery, whatever the plan: it is never inlined.
    let rows: Vec<(i32, i64, Option<Timestamp>)> = sqlx::query_as(
        "with locked as (
             select shard_id from ingest_fences where shard_id = any($1) order by shard_id for no key update
         )
         update ingest_fences f set version = f.version + 1 from locked where f.shard_id = locked.shard_id
         returning f.shard_id, f.version - 1, (select points_from from retention)",
    )
    .bind(shards)
    .fetch_all(connection)
    .await?;
    if rows.len() < shards.len() {
        return Err(Error::Rejected(sqlx::Error::decode(
            "ingest_fences lacks rows that the schema puts there",
        )));
    }
    let points_from = rows.first().and_then(|(_, _, points_from)| *points_from);
    Ok((rows.into_iter().map(|(shard, version, _)| (shard, version)).collect(), points_from))
}
