//! Removes series whose points have all been dropped by retention.

use std::collections::BTreeSet;

use sqlx::Connection;
use sqlx::postgres::PgPool;
use uuid::Uuid;

use super::{Error, fence, shard};
use crate::market::Symbol;
use crate::repository::transaction::BEGIN;

/// Series removed in one transaction; small, so that fences are not held for long.
const BATCH: usize = 500;
/// Batches removed in one call; the rest is left to the next call.
const MAX_BATCHES: u32 = 100;

/// Removes the series that have no points any more, and returns their number. A later quote creates
/// such a series again.
///
/// The fences are locked and marked as a writer does: no other writer adds a point meanwhile, and
/// writers that remember a removed series forget it.
///
/// # Errors
/// When Postgres is unavailable or refuses a statement. Series that were removed before stay
/// removed.
pub async fn remove_expired_series(pool: &PgPool) -> Result<u64, Error> {
    let mut removed = 0;
    let mut after = i32::MIN;

    for _ in 0..MAX_BATCHES {
        let expired = expired_series(pool, after).await?;
        removed += remove_batch(pool, &expired).await?;

        // Rows that stay are passed over, so that they do not fill the next batch.
        match expired.last() {
            Some((series_id, _)) if expired.len() == BATCH => after = *series_id,
            _ => break,
        }
    }
    Ok(removed)
}

/// The first expired series whose ids are greater than `after`, with their symbols.
async fn expired_series(pool: &PgPool, after: i32) -> Result<Vec<(i32, String)>, Error> {
    let expired = sqlx::query_as(
        "select series_id, symbol from series
         where last_at < (select points_from from retention) and series_id > $1
         order by series_id limit $2",
    )
    .bind(after)
    .bind(i64::try_from(BATCH).unwrap_or(i64::MAX))
    .fetch_all(pool)
    .await?;

    Ok(expired)
}

async fn remove_batch(pool: &PgPool, expired: &[(i32, String)]) -> Result<u64, Error> {
    // The fence is known only for symbols spelled as writers spell them; other rows are left alone.
    let known = |(id, text): &(i32, String)| {
        let symbol = text
            .parse::<Symbol>()
            .ok()
            .filter(|symbol| symbol.as_str() == text)?;
        Some((*id, shard::of(&symbol)))
    };
    let (ids, shards): (Vec<i32>, BTreeSet<i32>) = expired.iter().filter_map(known).unzip();
    if ids.is_empty() {
        return Ok(0);
    }

    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin_with(BEGIN).await?;

    let shards: Vec<i32> = shards.into_iter().collect();
    fence::pass(&mut transaction, &shards, &[], Uuid::new_v4()).await?;

    // The condition is repeated: a writer may have added a point before the fences were locked.
    let removed: Vec<i32> = sqlx::query_scalar(
        "delete from series where series_id = any($1) and last_at < (select points_from from retention)
         returning series_id",
    )
    .bind(ids)
    .fetch_all(&mut *transaction)
    .await?;
    sqlx::query("delete from late_points where series_id = any($1)")
        .bind(&removed)
        .execute(&mut *transaction)
        .await?;

    transaction.commit().await?;
    Ok(removed.len() as u64)
}
