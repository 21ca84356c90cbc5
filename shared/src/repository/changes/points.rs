//! Reads changed points: those that are listed, and those after the newest known one.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use super::SeriesPosition;
use crate::market::Timestamp;
use crate::repository::Error;
use crate::repository::price_points::{self, PricePoint};

/// A series whose changed points are to be read, from a position on.
#[derive(Clone, Copy, Debug)]
pub(super) struct LateFrom {
    pub(super) series_id: i32,
    pub(super) known: SeriesPosition,
}

/// A changed point of the past.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) version: i64,
    pub(super) quoted_at: Timestamp,
    /// `None` if retention has dropped it since.
    pub(super) point: Option<PricePoint>,
}

/// The first `most` changed points of each series, in the order of their changes.
pub(super) async fn late(
    connection: &mut PgConnection,
    from: &[LateFrom],
    most: usize,
) -> Result<BTreeMap<i32, Vec<Late>>, Error> {
    if from.is_empty() {
        return Ok(BTreeMap::new());
    }

    let known = || from.iter().map(|from| from.known);
    let rows = sqlx::query(
        "select s.series_id, l.version, l.quoted_at, p.price, p.moving_average, p.points, p.polled_at, u.unit
         from unnest($1::int4[], $2::timestamptz[], $3::int8[], $4::timestamptz[])
              as s(series_id, newest, version, within)
         cross join lateral (
             select c.version, c.quoted_at from late_points c
             where c.series_id = s.series_id and c.quoted_at <= s.newest
               and (c.version, c.quoted_at) > (s.version, coalesce(s.within, 'infinity'))
             order by c.version, c.quoted_at
             limit $5
         ) l
         left join lateral (
             select * from price_points where series_id = s.series_id and quoted_at = l.quoted_at limit 1
         ) p on true
         left join units u on u.unit_id = coalesce(
             p.unit_id, (select old_unit_id from series where series_id = s.series_id))
         order by s.series_id, l.version, l.quoted_at",
    )
    .bind(from.iter().map(|from| from.series_id).collect::<Vec<_>>())
    .bind(known().map(|known| known.newest).collect::<Vec<_>>())
    .bind(known().map(|known| known.version).collect::<Vec<_>>())
    .bind(known().map(|known| known.within).collect::<Vec<_>>())
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;

    by_series(&rows, |row| {
        let is_stored = row.try_get::<Option<Decimal>, _>("price")?.is_some();
        let point = is_stored.then(|| price_points::read(row)).transpose()?;
        Ok(Late {
            version: row.try_get("version")?,
            quoted_at: row.try_get("quoted_at")?,
            point,
        })
    })
}

/// A series whose points after a time are to be read, or all of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewFrom {
    pub(super) series_id: i32,
    pub(super) after: Option<Timestamp>,
}

/// The first `most` points of each series, in the order of time.
pub(super) async fn new(
    connection: &mut PgConnection,
    from: &[NewFrom],
    most: usize,
) -> Result<BTreeMap<i32, Vec<PricePoint>>, Error> {
    let rows = sqlx::query(
        "select s.series_id, p.quoted_at, p.price, p.moving_average, p.points, p.polled_at, u.unit
         from unnest($1::int4[], $2::timestamptz[]) as s(series_id, after)
         cross join lateral (
             select * from price_points
             where series_id = s.series_id and quoted_at > coalesce(s.after, '-infinity')
             order by quoted_at
             limit $3
         ) p
         left join units u on u.unit_id = coalesce(
             p.unit_id, (select old_unit_id from series where series_id = s.series_id))
         order by s.series_id, p.quoted_at",
    )
    .bind(from.iter().map(|from| from.series_id).collect::<Vec<_>>())
    .bind(from.iter().map(|from| from.after).collect::<Vec<_>>())
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;

    by_series(&rows, price_points::read)
}

/// The rows by their series.
fn by_series<T>(
    rows: &[PgRow],
    read: impl Fn(&PgRow) -> Result<T, Error>,
) -> Result<BTreeMap<i32, Vec<T>>, Error> {
    let mut found = BTreeMap::<i32, Vec<T>>::new();
    for row in rows {
        let series_id = row.try_get("series_id")?;
        found.entry(series_id).or_default().push(read(row)?);
    }
    Ok(found)
}
