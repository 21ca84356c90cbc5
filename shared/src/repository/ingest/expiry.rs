//! Removes series whose points have all been dropped by retention.

use std::collections::BTreeSet;

use sqlx::Connection;
use sqlx::postgres::PgPool;
use uuid::Uuid;

use super::{Error, fence, shard};
use crate::market::Symbol;
use crate::repository::transaction::BEGIN;

/// Series removed in one transaction; small, so that fences are not held for long.
const BATCH: i64 = 500;
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
    for _ in 0..MAX_BATCHES {
        let batch = remove_batch(pool).await?;
        removed += batch;
        if batch < BATCH.unsigned_abs() {
            break;
        }
    }

    Ok(removed)
}

async fn remove_batch(pool: &PgPool) -> Result<u64, Error> {
    let mut connection = pool.acquire().await?;
    let expired: Vec<(i32, String)> = sqlx::query_as(
        "select series_id, symbol from series where last_at < (select points_from from retention) limit $1",
    )
    .bind(BATCH)
    .fetch_all(&mut *connection)
    .await?;
    if expired.is_empty() {
        return Ok(0);
    }
    // The fence is known only for symbols spelled as writers spell them; other rows are left alone.
    let known = |(id, text): &(i32, String)| {
        let symbol = text.parse::<Symbol>().ok().filter(|symbol| symbol.as_str() == text)?;
        Some((*id, shard::of(&symbol)))
    };
    let (ids, shards): (Vec<i32>, BTreeSet<i32>) = expired.iter().filter_map(known).unzip();

    let mut transaction = connection.begin_with(BEGIN).await?;
    let shards: Vec<i32> = shards.into_iter().collect();
    fence::pass(&mut transaction, &shards, &[], Uuid::new_v4()).await?;
    // The condition is repeated: a writer may have added a point before the fences were locked.
    let removed = sqlx::query(
        "delete from series where series_id = any($1) and last_at < (select points_from from retention)",
    )
    .bind(ids)
    .execute(&mut *transaction)
    .await?
    .rows_affected();

    transaction.commit().await?;
    Ok(removed)
}
