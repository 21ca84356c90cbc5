//! Counts the points of series whose number is not known.

use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::PgPool;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Error, fence, shard};
use crate::market::Symbol;
use crate::repository::transaction::BEGIN;

/// How long after the migration that adds the counts nothing is counted: until then, functions of
/// the version before may still store points without counting them.
const OVERLAP: Duration = Duration::from_secs(3_600);
/// The version of that migration.
const MIGRATION: i64 = 26;

/// Counts series that are not counted, one after another, until `deadline`; the rest is left to the
/// next call. Returns the number of counted series.
///
/// The fence of a series is held while it is counted, so no writer adds a point meanwhile.
///
/// # Errors
/// When Postgres is unavailable or refuses a statement. Series that were counted before stay
/// counted.
pub async fn count_points(pool: &PgPool, deadline: Instant) -> Result<u64, Error> {
    let mut counted = 0;
    let mut after = i32::MIN;

    while Instant::now() < deadline {
        let Some((series_id, symbol)) = next(pool, after).await? else {
            break;
        };
        after = series_id;

        // The fence is known only for symbols spelled as writers spell them.
        let symbol: Option<Symbol> = symbol.parse().ok();
        if let Some(symbol) = symbol {
            count(pool, series_id, shard::of(&symbol)).await?;
            counted += 1;
        }
    }
    Ok(counted)
}

async fn next(pool: &PgPool, after: i32) -> Result<Option<(i32, String)>, Error> {
    let series = sqlx::query_as(
        "select series_id, symbol from series
         where point_count is null and last_at is not null and series_id > $1
           and not exists (
               select from _sqlx_migrations where version = $2 and installed_on > now() - make_interval(secs => $3)
           )
         order by series_id limit 1",
    )
    .bind(after)
    .bind(MIGRATION)
    .bind(OVERLAP.as_secs_f64())
    .fetch_optional(pool)
    .await?;

    Ok(series)
}

async fn count(pool: &PgPool, series_id: i32, shard: i32) -> Result<(), Error> {
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin_with(BEGIN).await?;

    fence::pass(&mut transaction, &[shard], &[], Uuid::new_v4()).await?;
    sqlx::query(
        "update series set (point_count, first_at) = (
             select count(*), min(quoted_at) from price_points where series_id = $1
         )
         where series_id = $1",
    )
    .bind(series_id)
    .execute(&mut *transaction)
    .await?;

    transaction.commit().await?;
    Ok(())
}
