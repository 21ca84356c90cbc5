//! Forgets changes that are older than positions may be.

use sqlx::postgres::PgPool;
use uuid::Uuid;

use crate::market::Symbol;
use crate::repository::Error;
use crate::repository::batched_deletion::delete_in_batches;
use crate::repository::ingest::shard;

/// For how many days the changes since a position are known.
pub const KEPT_DAYS: i32 = 7;

/// Series looked at by one statement, and most rows that it deletes.
const SERIES: usize = 500;
const BATCH: i64 = 5_000;

/// Forgets changes older than [`KEPT_DAYS`], and returns their number. Once a day it begins an
/// epoch at each fence, from which the next calls tell how old a count is.
///
/// # Errors
/// When Postgres is unavailable or refuses a statement. The rest is left to the next call.
pub async fn forget_old(pool: &PgPool) -> Result<u64, Error> {
    begin_epochs(pool).await?;

    // The epochs first: they tell readers that changes before the oldest one are not known.
    let oldest = forget_epochs(pool).await?;
    if oldest.is_empty() {
        return Ok(0);
    }

    let (mut forgotten, mut after) = (0, i32::MIN);
    loop {
        let series: Vec<(i32, String)> = sqlx::query_as(
            "select series_id, symbol from series where series_id > $1 order by series_id limit $2",
        )
        .bind(after)
        .bind(i64::try_from(SERIES).unwrap_or(i64::MAX))
        .fetch_all(pool)
        .await?;

        let before = |(series_id, symbol): &(i32, String)| {
            let shard = shard::of(&symbol.parse::<Symbol>().ok()?);
            let (_, version) = oldest.iter().find(|(fence, _)| *fence == shard)?;
            Some((*series_id, *version))
        };
        let (ids, versions): (Vec<i32>, Vec<i64>) = series.iter().filter_map(before).unzip();
        forgotten += forget_points(pool, &ids, &versions).await?;

        match series.last() {
            Some((series_id, _)) if series.len() == SERIES => after = *series_id,
            _ => return Ok(forgotten),
        }
    }
}

/// Begins an epoch at each fence that has none of the last day. Writers then read the tails behind
/// the fence again.
async fn begin_epochs(pool: &PgPool) -> Result<(), Error> {
    sqlx::query(
        "with due as (
             select shard_id from ingest_fences f
             where not exists (
                 select from ingest_epochs e where e.shard_id = f.shard_id and e.begun_at > now() - interval '1 day'
             )
             order by shard_id for no key update
         ), passed as (
             update ingest_fences f
             set version = f.version + 1, token = $1, epoch = $1, lineage = database_lineage()
             from due where f.shard_id = due.shard_id
             returning f.shard_id, f.version
         )
         insert into ingest_epochs (shard_id, version, epoch) select shard_id, version, $1 from passed
         on conflict (shard_id, version) do update set epoch = excluded.epoch, begun_at = now()",
    )
    .bind(Uuid::new_v4())
    .execute(pool)
    .await?;
    Ok(())
}

/// Deletes the epochs that ended too long ago. Returns the count with which the oldest one that is
/// left began, of each fence of which earlier changes are not needed.
async fn forget_epochs(pool: &PgPool) -> Result<Vec<(i32, i64)>, Error> {
    sqlx::query(
        "delete from ingest_epochs e using ingest_epochs later
         where later.shard_id = e.shard_id and later.version > e.version
           and later.begun_at < now() - make_interval(days => $1)",
    )
    .bind(KEPT_DAYS)
    .execute(pool)
    .await?;

    let oldest = sqlx::query_as(
        "select shard_id, min(version) from ingest_epochs
         group by shard_id having min(begun_at) < now() - make_interval(days => $1)",
    )
    .bind(KEPT_DAYS)
    .fetch_all(pool)
    .await?;
    Ok(oldest)
}

async fn forget_points(pool: &PgPool, ids: &[i32], versions: &[i64]) -> Result<u64, Error> {
    delete_in_batches(pool, BATCH, || {
        sqlx::query(
            "delete from late_points where ctid = any(array(
                 select l.ctid from unnest($1::int4[], $2::int8[]) as s(series_id, version)
                 join late_points l on l.series_id = s.series_id and l.version < s.version
                 limit $3
             ))",
        )
        .bind(ids.to_vec())
        .bind(versions.to_vec())
        .bind(BATCH)
    })
    .await
}
