//! The parts of which candles are made: folded quarter hours, and points where no fold is stored or
//! it is stale.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use sqlx::postgres::PgConnection;

use crate::candle::{Candle, Period, QUARTER};
use crate::market::Timestamp;
use crate::repository::{Error, series};

/// The candles of these periods, which are given newest first and do not overlap; none for those
/// without points.
pub(super) async fn fold(
    connection: &mut PgConnection,
    series_id: i32,
    periods: &[Period],
) -> Result<Vec<Candle>, Error> {
    let (Some(newest), Some(oldest)) = (periods.first(), periods.last()) else {
        return Ok(Vec::new());
    };
    let all = Period {
        start: oldest.start,
        end: newest.end,
    };

    let folds = if periods.iter().all(|period| period.is_of_quarters()) {
        Folds::read(connection, series_id, all).await?
    } else {
        Folds::default()
    };

    let mut parts = of_quarters(connection, series_id, periods, &folds).await?;
    parts.extend(of_points(connection, series_id, periods, &folds).await?);
    combine(periods, parts)
}

/// Which folds of a series can be used.
#[derive(Debug, Default, sqlx::FromRow)]
struct Folds {
    /// The end of what is folded, if anything is.
    folded_to: Option<Timestamp>,
    /// Earlier folds are of points that retention has dropped.
    points_from: Option<Timestamp>,
    /// The starts of folded quarter hours whose points were changed afterwards.
    stale: Vec<Timestamp>,
}

impl Folds {
    async fn read(
        connection: &mut PgConnection,
        series_id: i32,
        all: Period,
    ) -> Result<Self, Error> {
        let folds = sqlx::query_as(
            "select (select nullif(folded_to, '-infinity') from folded_series where series_id = $1) as folded_to,
                    (select points_from from retention) as points_from,
                    array(
                        select starts_at from stale_quarters
                        where series_id = $1 and starts_at >= $2 and starts_at < $3 order by starts_at
                    ) as stale",
        )
        .bind(series_id)
        .bind(all.start)
        .bind(all.end)
        .fetch_one(connection)
        .await?;
        Ok(folds)
    }

    /// The part of a period whose folds can be used; the stale ones in it cannot.
    fn stored(&self, period: Period) -> Option<Period> {
        let stored = Period {
            start: self
                .points_from
                .map_or(period.start, |from| from.max(period.start)),
            end: self.folded_to?.min(period.end),
        };
        (stored.start < stored.end).then_some(stored)
    }

    /// The parts of a period whose points have to be folded.
    fn missing(&self, period: Period) -> impl Iterator<Item = Period> {
        let rest = Period {
            start: self
                .folded_to
                .map_or(period.start, |to| to.max(period.start)),
            end: period.end,
        };

        let stale = self.stale.iter().map(|start| Period {
            start: *start,
            end: *start + QUARTER,
        });
        let within = move |stale: &Period| period.start <= stale.start && stale.end <= period.end;
        stale
            .filter(within)
            .chain(Some(rest).filter(|rest| rest.start < rest.end))
    }
}

/// The prices of a part of a period, in one unit.
#[derive(Debug, sqlx::FromRow)]
struct Part {
    /// When the period begins.
    period: Timestamp,
    unit: Option<String>,
    /// When its first and its last price were quoted, or the quarter hours that have them.
    first_at: Timestamp,
    last_at: Timestamp,
    open: Decimal,
    high: Decimal,
    low: Decimal,
    close: Decimal,
    points: i64,
}

/// What is stored of the periods, one part for each of them and unit.
async fn of_quarters(
    connection: &mut PgConnection,
    series_id: i32,
    periods: &[Period],
    folds: &Folds,
) -> Result<Vec<Part>, Error> {
    let stored: Vec<(Timestamp, Period)> = periods
        .iter()
        .filter_map(|period| Some((period.start, folds.stored(*period)?)))
        .collect();
    if stored.is_empty() {
        return Ok(Vec::new());
    }

    let parts = sqlx::query_as(
        "select span.period, u.unit, part.first_at, part.last_at, part.high, part.low, part.points,
                (select open from folded_quarters
                 where series_id = $1 and starts_at = part.first_at and unit_id = part.unit_id) as open,
                (select close from folded_quarters
                 where series_id = $1 and starts_at = part.last_at and unit_id = part.unit_id) as close
         from unnest($2::timestamptz[], $3::timestamptz[], $4::timestamptz[]) as span(period, from_at, to_at)
         cross join lateral (
             select unit_id, min(starts_at) as first_at, max(starts_at) as last_at, max(high) as high,
                    min(low) as low, sum(points)::int8 as points
             from folded_quarters
             where series_id = $1 and starts_at >= span.from_at and starts_at < span.to_at and starts_at <> all($5)
             group by unit_id
         ) part
         left join units u on u.unit_id = part.unit_id",
    )
    .bind(series_id)
    .bind(stored.iter().map(|(period, _)| *period).collect::<Vec<_>>())
    .bind(stored.iter().map(|(_, span)| span.start).collect::<Vec<_>>())
    .bind(stored.iter().map(|(_, span)| span.end).collect::<Vec<_>>())
    .bind(&folds.stale)
    .fetch_all(connection)
    .await?;
    Ok(parts)
}

/// Folds the points of the periods as far as their folds cannot be used.
async fn of_points(
    connection: &mut PgConnection,
    series_id: i32,
    periods: &[Period],
    folds: &Folds,
) -> Result<Vec<Part>, Error> {
    let missing: Vec<(Timestamp, Period)> = periods
        .iter()
        .flat_map(|period| folds.missing(*period).map(|span| (period.start, span)))
        .collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }

    let parts = sqlx::query_as(
        "select span.period, u.unit, part.first_at, part.last_at, part.high, part.low, part.points,
                (select price from price_points where series_id = $1 and quoted_at = part.first_at) as open,
                (select price from price_points where series_id = $1 and quoted_at = part.last_at) as close
         from unnest($2::timestamptz[], $3::timestamptz[], $4::timestamptz[]) as span(period, from_at, to_at)
         cross join lateral (
             select coalesce(unit_id, (select old_unit_id from series where series_id = $1), 0) as unit_id,
                    min(quoted_at) as first_at, max(quoted_at) as last_at, max(price) as high, min(price) as low,
                    count(*) as points
             from price_points
             where series_id = $1 and quoted_at >= span.from_at and quoted_at < span.to_at
             group by 1
         ) part
         left join units u on u.unit_id = part.unit_id",
    )
    .bind(series_id)
    .bind(missing.iter().map(|(period, _)| *period).collect::<Vec<_>>())
    .bind(missing.iter().map(|(_, span)| span.start).collect::<Vec<_>>())
    .bind(missing.iter().map(|(_, span)| span.end).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    Ok(parts)
}

/// Combines the parts of each period that have the same unit. The candles come in the order of the
/// periods, and those of one period by the names of their units; one without a name is the last.
fn combine(periods: &[Period], parts: Vec<Part>) -> Result<Vec<Candle>, Error> {
    let mut combined = BTreeMap::<Timestamp, BTreeMap<(bool, Option<String>), Part>>::new();

    for part in parts {
        let units = combined.entry(part.period).or_default();
        let key = (part.unit.is_none(), part.unit.clone());
        match units.remove(&key) {
            Some(other) => units.insert(key, other.and(&part)),
            None => units.insert(key, part),
        };
    }

    let candles = periods.iter().flat_map(|period| {
        let units = combined.remove(&period.start).unwrap_or_default();
        units.into_values().map(|part| part.candle(*period))
    });
    candles.collect()
}

impl Part {
    /// Both parts as one. They are of different times.
    fn and(self, other: &Self) -> Self {
        let open = if self.first_at <= other.first_at {
            self.open
        } else {
            other.open
        };
        let close = if self.last_at >= other.last_at {
            self.close
        } else {
            other.close
        };

        Self {
            first_at: self.first_at.min(other.first_at),
            last_at: self.last_at.max(other.last_at),
            open,
            high: self.high.max(other.high),
            low: self.low.min(other.low),
            close,
            points: self.points + other.points,
            ..self
        }
    }

    fn candle(self, period: Period) -> Result<Candle, Error> {
        Ok(Candle {
            period,
            currency: self.unit.map(series::name).transpose()?,
            open: series::price(self.open)?,
            high: series::price(self.high)?,
            low: series::price(self.low)?,
            close: series::price(self.close)?,
            points: self.points.unsigned_abs(),
        })
    }
}
