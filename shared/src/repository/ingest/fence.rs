//! Fences: a lock on a share of all series, and a mark of the batches that were stored behind it.
//!
//! One row lock guards hundreds of series, where a lock on each of their rows would cost as much as writing them. The
//! mark tells a writer whether the tails it remembers are still the stored ones. Every writer of points takes the fences
//! of all series it writes.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::Error;
use super::units::{self, Units};
use crate::market::{Currency, Timestamp};

/// What the last batch left at a fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// How many batches passed: the order in which they were committed.
    pub(super) version: i64,
    /// Whose batch was the last. The count alone comes again when a database was set back.
    pub(super) token: Uuid,
}

/// Fences by their number, each with what was left there.
pub(super) type Fences = BTreeMap<i32, Mark>;

/// What a writer learns as it passes the fences.
#[derive(Debug)]
pub(super) struct Passage {
    /// As the last holder left them.
    pub(super) fences: Fences,
    /// The oldest quote time that still has a partition, if retention dropped any. Should it drop one right after this,
    /// writing to that fails the batch, and the next attempt reads it here.
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
    numbers: Option<Vec<Option<i16>>>,
}

/// Locks the fences in order, so that writers cannot deadlock, and leaves the batch's mark at each: `token`, which no
/// other batch has. Looks up the units of the batch, and makes those that are new.
pub(super) async fn pass(
    connection: &mut PgConnection,
    shards: &[i32],
    currencies: &[Currency],
    token: Uuid,
) -> Result<Passage, Error> {
    // The locks are taken in the order of the subquery, whatever the plan: it is never inlined. What it returns is as the
    // last holder of each lock left it; a unit may be one that another writer has just made, and is looked up again.
    let rows: Vec<FenceRow> = sqlx::query_as(
        "with locked as (
             select shard_id, version, token from ingest_fences where shard_id = any($1)
             order by shard_id for no key update
         )
         update ingest_fences f set version = f.version + 1, token = $2
         from locked where f.shard_id = locked.shard_id
         returning f.shard_id, locked.version, locked.token, (select points_from from retention) as points_from,
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
    let mut fences = Fences::new();
    let mut numbers = Vec::new();
    for row in rows {
        fences.insert(row.shard_id, Mark { version: row.version, token: row.token });
        numbers = row.numbers.unwrap_or(numbers);
    }
    let units = units::complete(connection, currencies, numbers).await?;
    Ok(Passage { fences, points_from, units })
}

/// The fences as a batch leaves them that found them like this.
pub(super) fn passed(fences: &Fences, token: Uuid) -> impl Iterator<Item = (i32, Mark)> {
    fences.iter().map(move |(shard, mark)| (*shard, Mark { version: mark.version + 1, token }))
}
