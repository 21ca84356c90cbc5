//! Fences: each is a lock on a share of all series, and carries a mark of the last batch stored
//! behind it.
//!
//! One row lock guards hundreds of series; locking each series' row would cost as much as writing
//! it. The mark shows a writer whether the tails that it remembers are still the stored ones. Every
//! writer of points locks the fences of all series that it writes.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::Error;
use super::units::{self, Units};
use crate::market::{Currency, Timestamp};

/// The mark that the last batch left at a fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The number of batches that passed, in the order of their commits.
    pub(super) version: i64,
    /// Identifies the last batch. The count alone would repeat after a restore of the database.
    pub(super) token: Uuid,
}

/// Marks by the number of their fence.
pub(super) type Marks = BTreeMap<i32, Mark>;

/// What a writer learns when it passes the fences.
#[derive(Debug)]
pub(super) struct Passage {
    /// The marks that the last holders left.
    pub(super) marks: Marks,
    /// The oldest quote time that still has a partition, if retention has dropped any. If retention
    /// drops another one after this was read, a write to it fails the batch, and the next attempt
    /// reads the new value.
    pub(super) points_from: Option<Timestamp>,
    /// The units of the batch.
    pub(super) units: Units,
}

#[derive(sqlx::FromRow)]
struct FenceRow {
    shard_id: i32,
    version: i64,
    token: Uuid,
    points_from: Option<Timestamp>,
    /// Whether this is the first batch since the server started or the database was restored.
    begins_epoch: bool,
    numbers: Option<Vec<Option<i16>>>,
}

/// Locks the fences in order, so that writers cannot deadlock, and leaves the batch's mark `token`,
/// unique to the batch, at each. Looks up the units of the batch, and creates new ones. At a fence
/// that no batch has passed since the server started or the database was restored, the batch begins
/// an epoch.
pub(super) async fn pass(
    connection: &mut PgConnection,
    shards: &[i32],
    currencies: &[Currency],
    token: Uuid,
) -> Result<Passage, Error> {
    // The subquery is never inlined, so the locks are taken in its order under every plan. It
    // returns each row as the last holder of its lock left it. A unit that another writer has just
    // created may not be visible here: `complete` looks it up again.
    let rows: Vec<FenceRow> = sqlx::query_as(
        "with locked as (
             select shard_id, version, token from ingest_fences where shard_id = any($1)
             order by shard_id for no key update
         )
         update ingest_fences f set version = f.version + 1, token = $2
         from locked where f.shard_id = locked.shard_id
         returning f.shard_id, locked.version, locked.token, (select points_from from retention) as points_from,
             f.lineage <> (select database_lineage()) as begins_epoch,
             case when f.shard_id = ($1::int4[])[1] then (
                 select array_agg(u.unit_id order by k.place)
                 from unnest($3::text[]) with ordinality as k(unit, place) left join units u using (unit)
             ) end as numbers",
    )
    .bind(shards)
    .bind(token)
    .bind(currencies.iter().map(Currency::as_str).collect::<Vec<_>>())
    .fetch_all(&mut *connection)
    .await?;

    if rows.len() < shards.len() {
        return Err(Error::Rejected(sqlx::Error::decode(
            "ingest_fences lacks rows that the schema puts there",
        )));
    }

    let points_from = rows.first().and_then(|row| row.points_from);

    let (mut marks, mut begun) = (Marks::new(), Vec::new());
    let mut numbers = Vec::new();
    for row in rows {
        if row.begins_epoch {
            begun.push(row.shard_id);
        }
        marks.insert(
            row.shard_id,
            Mark {
                version: row.version,
                token: row.token,
            },
        );
        numbers = row.numbers.unwrap_or(numbers);
    }

    begin_epochs(connection, &begun, token).await?;

    // Units are locked after the fences, as in every transaction.
    let units = units::complete(connection, currencies, numbers).await?;
    Ok(Passage {
        marks,
        points_from,
        units,
    })
}

/// Begins an epoch at fences that this batch has locked, with this batch.
async fn begin_epochs(
    connection: &mut PgConnection,
    shards: &[i32],
    token: Uuid,
) -> Result<(), Error> {
    if shards.is_empty() {
        return Ok(());
    }

    sqlx::query(
        "with begun as (
             update ingest_fences set lineage = database_lineage(), epoch = $2 where shard_id = any($1)
             returning shard_id, version, epoch
         )
         insert into ingest_epochs (shard_id, version, epoch) select * from begun
         on conflict (shard_id, version) do update set epoch = excluded.epoch, begun_at = now()",
    )
    .bind(shards)
    .bind(token)
    .execute(connection)
    .await?;
    Ok(())
}

/// The marks after a batch with this token has passed fences that had the marks `found`.
pub(super) fn passed(found: &Marks, token: Uuid) -> impl Iterator<Item = (i32, Mark)> {
    found.iter().map(move |(shard, mark)| {
        (
            *shard,
            Mark {
                version: mark.version + 1,
                token,
            },
        )
    })
}

#[cfg(test)]
mod tests;
