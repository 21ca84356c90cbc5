//! The short path for small batches that continue where this writer stopped: one statement for
//! everything.
//!
//! A small batch spends most of its time on round trips. If the tails of all its series are known
//! and none of its points is late, nothing has to be read: one statement locks the fences, checks
//! that no other writer has passed them, and writes. If another writer has, the statement writes
//! nothing, and the batch takes the long path. The statement runs at the server's default
//! isolation, READ COMMITTED. A stricter level aborts it when another writer interferes, and the
//! batch is retried on the long path.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::fence::Marks;
use super::series::{self, SeriesState};
use super::{Error, Point, append};
use crate::market::Currency;

/// The subquery `counted` waits for the locks, in the order of `known`, and the subquery `compared`
/// for `counted`; both are evaluated before the first row is written. A fence that another writer
/// has changed is compared once more when its lock is free, and stays as it is. If only some fences
/// are unchanged, these get the mark of a batch that writes nothing: other writers then read the
/// tails behind them again. The time of a series' first point stays, because these points come after
/// a known one. The lineage is compared because the first batch after a restart has to begin an
/// epoch, which the long path does.
const APPEND: &str = "
    with known as materialized (
        select * from unnest($1::int4[], $2::int8[], $3::uuid[]) as known(shard_id, version, token) order by shard_id
    ), counted as (
        update ingest_fences f set version = f.version + 1, token = $4
        from known where f.shard_id = known.shard_id and f.version = known.version and f.token = known.token
            and f.lineage = (select database_lineage())
        returning f.shard_id
    ), compared as (
        select count(*) = cardinality($1) and not exists (select from retention where points_from > $5)
            and not exists (
                select from unnest($6::int2[], $7::text[]) as known(unit_id, unit)
                where not exists (select from units u where u.unit_id = known.unit_id and u.unit = known.unit)
            ) as is_unchanged
        from counted
    ), appended as (
        insert into price_points (quoted_at, polled_at, event_id, series_id, points, price, moving_average, unit_id)
        select p.* from unnest($8::timestamptz[], $9::timestamptz[], $10::uuid[], $11::int4[], $12::int2[],
                               $13::numeric[], $14::numeric[], $15::int2[]) as p
        where (select is_unchanged from compared)
    )
    update series s
    set last_at = u.last_at, last_polled_at = u.last_polled_at, last_price = u.last_price,
        last_average = u.last_average, last_points = u.last_points, last_currency = u.last_currency,
        price_before_3 = u.before_3, price_before_2 = u.before_2, price_before_1 = u.before_1,
        point_count = s.point_count + u.added
    from unnest($16::int4[], $17::timestamptz[], $18::timestamptz[], $19::numeric[], $20::numeric[], $21::int2[],
                $22::text[], $23::numeric[], $24::numeric[], $25::numeric[], $26::int8[])
         as u(series_id, last_at, last_polled_at, last_price, last_average, last_points, last_currency,
              before_3, before_2, before_1, added)
    where s.series_id = u.series_id and (select is_unchanged from compared)";

/// What this writer remembers, which the statement compares with what is stored.
#[derive(Debug)]
pub(super) struct Known<'a> {
    /// The marks that this writer left at the fences.
    pub(super) marks: &'a Marks,
    /// The units of the points, and their numbers in the same order.
    pub(super) currencies: &'a [Currency],
    pub(super) numbers: &'a [i16],
}

/// Appends the points, writes their series back and leaves `token` at the fences. Returns false if
/// nothing was written: another writer has passed a fence, retention has dropped the points'
/// partition, or a unit has another number.
pub(super) async fn append(
    connection: &mut PgConnection,
    known: Known<'_>,
    token: Uuid,
    points: &[Point],
    series: &[SeriesState],
) -> Result<bool, Error> {
    debug_assert_eq!(
        known.numbers.len(),
        known.currencies.len(),
        "every currency has its number"
    );

    let changed = series::changed(series);
    let query = sqlx::query(APPEND)
        .bind(known.marks.keys().copied().collect::<Vec<_>>())
        .bind(
            known
                .marks
                .values()
                .map(|mark| mark.version)
                .collect::<Vec<_>>(),
        )
        .bind(
            known
                .marks
                .values()
                .map(|mark| mark.token)
                .collect::<Vec<_>>(),
        )
        .bind(token)
        .bind(points.iter().map(|point| point.quoted_at).min())
        .bind(known.numbers)
        .bind(
            known
                .currencies
                .iter()
                .map(Currency::as_str)
                .collect::<Vec<_>>(),
        );

    let written = series::bind(append::bind(query, points), &changed)
        .execute(connection)
        .await?;

    match written.rows_affected() {
        0 => Ok(false),
        rows if rows == changed.len() as u64 => Ok(true),
        _ => Err(Error::Rejected(sqlx::Error::decode(
            "series that are remembered are gone",
        ))),
    }
}
