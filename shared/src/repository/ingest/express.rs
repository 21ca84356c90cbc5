//! The short way for small batches that only go on where this writer left off: everything in one statement.
//!
//! Round trips are most of what a small batch takes. Where the tails of all its series are known and none of its points
//! is late, nothing has to be read, and one statement can lock the fences, see that nobody else passed them, and write.
//! If somebody did, it writes nothing, and the batch goes the long way. It runs at the server's default isolation, READ
//! COMMITTED; a stricter one refuses it when another writer comes in between, and it is tried again the long way.

use sqlx::postgres::PgConnection;

use super::fence::Fences;
use super::series::{self, Series};
use super::{Error, Point, append};

/// The subquery `passed` waits for the locks, and what it says is asked once, before the first row is written.
const APPEND: &str = "
    with locked as (
        select shard_id, version from ingest_fences where shard_id = any($1) order by shard_id for no key update
    ), passed as (
        select count(*) = cardinality($1) and not exists (select from retention where points_from > $3) as by_nobody
        from locked join unnest($1::int4[], $2::int8[]) as known(shard_id, version) using (shard_id, version)
    ), counted as (
        update ingest_fences f set version = f.version + 1
        from locked where f.shard_id = locked.shard_id and (select by_nobody from passed)
    ), appended as (
        insert into price_points (quoted_at, polled_at, event_id, series_id, points, price, moving_average)
        select p.* from unnest($4::timestamptz[], $5::timestamptz[], $6::uuid[], $7::int4[], $8::int2[], $9::numeric[],
                               $10::numeric[]) as p
        where (select by_nobody from passed)
    )
    update series s
    set last_at = u.last_at, last_polled_at = u.last_polled_at, last_price = u.last_price,
        last_average = u.last_average, last_points = u.last_points, last_currency = u.last_currency,
        price_before_3 = u.before_3, price_before_2 = u.before_2, price_before_1 = u.before_1
    from unnest($11::int4[], $12::timestamptz[], $13::timestamptz[], $14::numeric[], $15::numeric[], $16::int2[],
                $17::text[], $18::numeric[], $19::numeric[], $20::numeric[])
         as u(series_id, last_at, last_polled_at, last_price, last_average, last_points, last_currency,
              before_3, before_2, before_1)
    where s.series_id = u.series_id and (select by_nobody from passed)";

/// Appends the points and writes their series back; false if nothing was written, because somebody else passed a fence
/// or retention dropped what the points belong to.
pub(super) async fn append(
    connection: &mut PgConnection,
    fences: &Fences,
    points: &[Point],
    series: &[Series],
) -> Result<bool, Error> {
    let changed = series::changed(series);
    let query = sqlx::query(APPEND)
        .bind(fences.keys().copied().collect::<Vec<_>>())
        .bind(fences.values().copied().collect::<Vec<_>>())
        .bind(points.iter().map(|point| point.quoted_at).min());
    let written = series::bind(append::bind(query, points), &changed).execute(connection).await?;
    match written.rows_affected() {
        0 => Ok(false),
        rows if rows == changed.len() as u64 => Ok(true),
        _ => Err(Error::Rejected(sqlx::Error::decode("series that are remembered are gone"))),
    }
}
