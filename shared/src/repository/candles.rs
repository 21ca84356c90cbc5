//! Reads of candles: folds of the stored points. As far as upkeep has folded quarter hours, candles
//! are made of these.

use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::Error;
use super::price_points::Range;
use crate::candle::{Candle, Grid, Period};
use crate::market::Timestamp;

mod parts;

/// Begins a transaction in which all candles of a page are those of one moment.
///
/// A statement is planned for its arguments, because a plan for any of them would read a whole
/// series for a few periods. Plans are not compiled, which would take longer than running them.
const BEGIN: &str = "begin isolation level repeatable read, read only;
    set local plan_cache_mode = force_custom_plan;
    set local jit = off";

/// Returns the candles of a series in the newest `limit` periods of `range` that have points, newest
/// first. A period in which the unit changed has a candle for each unit, in the order of their names.
///
/// The periods are those that begin within the range.
///
/// # Errors
/// When Postgres is unavailable or refuses a statement.
pub async fn newest(
    connection: &mut PgConnection,
    series_id: i32,
    grid: Grid,
    range: Range,
    limit: usize,
) -> Result<Vec<Candle>, Error> {
    let mut transaction = connection.begin_with(BEGIN).await?;

    // The points of these periods.
    let points = Range {
        from: range.from.map(|from| grid.first_start_from(from)),
        to: range.to.map(|to| grid.first_start_from(to)),
    };
    let candles = match grid.interval.length() {
        Some(length) => {
            let starts = starts(&mut transaction, series_id, length, points, limit).await?;
            let periods: Vec<Period> = starts.into_iter().map(|at| grid.period_of(at)).collect();
            parts::fold(&mut transaction, series_id, &periods).await?
        }
        None => days(&mut transaction, series_id, grid, points, limit).await?,
    };

    transaction.commit().await?;
    Ok(candles)
}

/// The starts of the newest `limit` periods that have points, newest first. From each, one look-up
/// leads to the newest point before it, so neither the points of a period nor gaps are read.
async fn starts(
    connection: &mut PgConnection,
    series_id: i32,
    length: chrono::TimeDelta,
    points: Range,
    limit: usize,
) -> Result<Vec<Timestamp>, Error> {
    let length = length.to_std().unwrap_or(Duration::from_secs(60));
    let starts = sqlx::query_scalar(
        "with recursive newest(starts_at) as (
             (select date_bin(make_interval(secs => $4), quoted_at, 'epoch') from price_points
              where series_id = $1 and quoted_at >= coalesce($2, '-infinity') and quoted_at < coalesce($3, 'infinity')
              order by quoted_at desc limit 1)
             union all
             select before.starts_at from newest cross join lateral (
                 select date_bin(make_interval(secs => $4), quoted_at, 'epoch') as starts_at from price_points
                 where series_id = $1 and quoted_at >= coalesce($2, '-infinity') and quoted_at < newest.starts_at
                 order by quoted_at desc limit 1
             ) before
         )
         select starts_at from newest limit $5",
    )
    .bind(series_id)
    .bind(points.from)
    .bind(points.to)
    .bind(length.as_secs_f64())
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    Ok(starts)
}

/// The candles of the newest `limit` days that have points. Days without points are passed over from
/// point to point.
async fn days(
    connection: &mut PgConnection,
    series_id: i32,
    grid: Grid,
    points: Range,
    limit: usize,
) -> Result<Vec<Candle>, Error> {
    let mut candles = Vec::new();
    let (mut found, mut points) = (0, points);

    while found < limit
        && let Some(newest) = newest_point(connection, series_id, points).await?
    {
        // The day of the newest point and those before it; some may be empty.
        let end = grid.period_of(newest).end;
        let wanted = |day: &Period| points.from.is_none_or(|from| day.start >= from);
        let days = grid.back_from(end).take_while(wanted);
        let days: Vec<Period> = days.take(limit - found).collect();
        let Some(oldest) = days.last() else { break };

        let folded = parts::fold(connection, series_id, &days).await?;
        found += folded.chunk_by(|a, b| a.period == b.period).count();
        candles.extend(folded);
        points.to = Some(oldest.start);
    }
    Ok(candles)
}

/// The time of the newest point in the range.
async fn newest_point(
    connection: &mut PgConnection,
    series_id: i32,
    points: Range,
) -> Result<Option<Timestamp>, Error> {
    let newest = sqlx::query_scalar(
        "select quoted_at from price_points
         where series_id = $1 and quoted_at >= coalesce($2, '-infinity') and quoted_at < coalesce($3, 'infinity')
         order by quoted_at desc limit 1",
    )
    .bind(series_id)
    .bind(points.from)
    .bind(points.to)
    .fetch_optional(connection)
    .await?;
    Ok(newest)
}
