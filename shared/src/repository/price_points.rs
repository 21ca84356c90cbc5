//! Reads of the price points: the history of one series.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, PgExecutor, Postgres, Row, Transaction};

use super::{Error, series};
use crate::exact_decimal::ExactDecimal;
use crate::market::{Currency, Timestamp};
use crate::price::Price;

/// A stored quote with its average.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PricePoint {
    /// Market time of the quote.
    pub timestamp: Timestamp,
    /// The price, in units of `currency`.
    pub price: Price,
    /// Unit of the price; `None` if it is unknown.
    pub currency: Option<Currency>,
    /// Average of this point and of up to four points before it that have the same unit without a
    /// break.
    pub moving_average: ExactDecimal,
    /// The number of points in the average.
    pub points: u8,
    /// When the quote was last polled.
    pub polled_at: Timestamp,
}

/// Which points to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Earliest quote time, included.
    pub from: Option<Timestamp>,
    /// Latest quote time, excluded.
    pub to: Option<Timestamp>,
}

/// Returns up to `limit` points of a series within `range`, newest first.
///
/// A page ends with its last point's time. The next page is the range up to that time, which `to`
/// excludes.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn history(
    executor: impl PgExecutor<'_>,
    series_id: i32,
    range: Range,
    limit: i64,
) -> Result<Vec<PricePoint>, Error> {
    let rows = sqlx::query(
        "select p.quoted_at, p.price, u.unit, p.moving_average, p.points, p.polled_at
         from (
             select quoted_at, price, unit_id, moving_average, points, polled_at
             from price_points
             where series_id = $1 and quoted_at >= coalesce($2, '-infinity') and quoted_at < coalesce($3, 'infinity')
             order by quoted_at desc
             limit $4
         ) p
         left join units u on u.unit_id = coalesce(p.unit_id, (select old_unit_id from series where series_id = $1))
         order by p.quoted_at desc",
    )
    .bind(series_id)
    .bind(range.from)
    .bind(range.to)
    .bind(limit)
    .fetch_all(executor)
    .await?;

    rows.iter().map(read).collect()
}

/// Begins a transaction that sees all points as they are now, for as long as it reads.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn snapshot(connection: &mut PgConnection) -> Result<Transaction<'_, Postgres>, Error> {
    let begin = "begin isolation level repeatable read, read only";
    Ok(connection.begin_with(begin).await?)
}

/// Returns up to `limit` points of a series within `range`, oldest first.
///
/// The next ones are those of the range from a microsecond after the last one.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn oldest(
    executor: impl PgExecutor<'_>,
    series_id: i32,
    range: Range,
    limit: i64,
) -> Result<Vec<PricePoint>, Error> {
    let rows = sqlx::query(
        "select p.quoted_at, p.price, u.unit, p.moving_average, p.points, p.polled_at
         from (
             select quoted_at, price, unit_id, moving_average, points, polled_at
             from price_points
             where series_id = $1 and quoted_at >= coalesce($2, '-infinity') and quoted_at < coalesce($3, 'infinity')
             order by quoted_at
             limit $4
         ) p
         left join units u on u.unit_id = coalesce(p.unit_id, (select old_unit_id from series where series_id = $1))
         order by p.quoted_at",
    )
    .bind(series_id)
    .bind(range.from)
    .bind(range.to)
    .bind(limit)
    .fetch_all(executor)
    .await?;

    rows.iter().map(read).collect()
}

pub(super) fn read(row: &PgRow) -> Result<PricePoint, Error> {
    Ok(PricePoint {
        timestamp: row.try_get("quoted_at")?,
        price: series::price(row.try_get("price")?)?,
        currency: row
            .try_get::<Option<String>, _>("unit")?
            .map(series::name)
            .transpose()?,
        moving_average: row.try_get("moving_average")?,
        points: series::points(row.try_get("points")?)?,
        polled_at: row.try_get("polled_at")?,
    })
}
