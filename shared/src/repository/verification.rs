//! Proves stored averages: computes them again from the stored prices, and compares the newest
//! point that each series has in its row.
//!
//! One snapshot serves a call, so that points which arrive meanwhile are no differences. Where
//! retention dropped points, the averages of the first four that are left include prices that are
//! not stored: they are counted as not provable, unless they are the averages of what is left.

use std::collections::VecDeque;

use sqlx::postgres::{PgConnection, PgPool};
use tokio::time::Instant;

use super::Error;
use super::price_points::{self, PricePoint, Range};
use super::series::{self, Series};
use crate::exact_decimal::ExactDecimal;
use crate::market::{Currency, ProviderName, Symbol, Timestamp};
use crate::moving_average::{WINDOW, average};
use crate::price::Price;

/// Points read at a time.
const CHUNK: i64 = 5_000;
/// Differences after which a call ends, so that they fit into an answer.
const MOST_DIFFERENCES: usize = 1_000;

/// Which series to verify.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only those of this symbol.
    pub symbol: Option<Symbol>,
    /// Only those of this provider.
    pub provider: Option<ProviderName>,
}

/// How far the verification has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// All series before this one are done.
    pub series_id: i32,
    /// Points of this series up to this time are done.
    pub until: Option<Timestamp>,
}

/// What was verified, and where the next call begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Series that were finished.
    pub series: u64,
    /// Points that were compared.
    pub points: u64,
    /// Points at the edge of what retention dropped, whose averages cannot be computed again.
    pub unprovable: u64,
    /// What differs.
    pub differences: Vec<Difference>,
    /// Where the next call begins; `None` if all is done.
    pub next: Option<Position>,
}

/// A stored value that differs from the one that follows from the points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Symbol of the series.
    pub symbol: Symbol,
    /// Provider of the series.
    pub provider: ProviderName,
    /// The point's quote time.
    pub timestamp: Timestamp,
    /// Which value differs.
    pub what: What,
    /// The stored value.
    pub stored: String,
    /// The value that follows from the points.
    pub expected: String,
}

/// A value that is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The point's average.
    MovingAverage,
    /// The number of points in the average.
    Points,
    /// The newest point in the series' row, which reads of the latest price use.
    Newest,
}

/// Verifies from `from` on until `deadline`, or until there are many differences.
///
/// # Errors
/// When Postgres is unavailable or refuses a statement.
pub async fn verify(
    pool: &PgPool,
    scope: &Scope,
    from: Option<Position>,
    deadline: Instant,
) -> Result<Verified, Error> {
    let mut connection = pool.acquire().await?;
    let mut snapshot = price_points::snapshot(&mut connection).await?;

    let mut verified = Verified::default();
    let mut position = from;
    while let Some(series) = next_series(&mut snapshot, scope, position).await? {
        let resumed = position.filter(|position| position.series_id == series.series_id);
        let until = resumed.and_then(|position| position.until);

        let mut run = Run::after(&mut snapshot, &series, until).await?;
        let left = run.compare(&mut snapshot, &mut verified, deadline).await?;
        if let Some(until) = left {
            verified.next = Some(Position {
                series_id: series.series_id,
                until: Some(until),
            });
            break;
        }

        run.compare_newest(&mut verified);
        verified.series += 1;
        position = Some(Position {
            series_id: series.series_id + 1,
            until: None,
        });
        if is_enough(&verified, deadline) {
            verified.next = position;
            break;
        }
    }

    // Nothing is left after the last series.
    if let Some(next) = verified.next
        && next.until.is_none()
        && next_series(&mut snapshot, scope, Some(next))
            .await?
            .is_none()
    {
        verified.next = None;
    }

    snapshot.commit().await?;
    Ok(verified)
}

fn is_enough(verified: &Verified, deadline: Instant) -> bool {
    Instant::now() >= deadline || verified.differences.len() >= MOST_DIFFERENCES
}

/// The first series at or after the position.
async fn next_series(
    connection: &mut PgConnection,
    scope: &Scope,
    position: Option<Position>,
) -> Result<Option<Series>, Error> {
    let from = position.map_or(i32::MIN, |position| position.series_id);
    series::first_from(
        connection,
        from,
        scope.symbol.as_ref(),
        scope.provider.as_ref(),
    )
    .await
}

/// The comparison of one series.
struct Run<'a> {
    series: &'a Series,
    /// Up to five newest points before the next one, oldest first.
    before: VecDeque<PricePoint>,
    /// Whether retention may have dropped points before the first one.
    is_cut: bool,
    /// The number of points before the next one, as far as it matters.
    number: usize,
    until: Option<Timestamp>,
}

impl<'a> Run<'a> {
    /// A comparison that begins after the points up to `until`.
    async fn after(
        connection: &mut PgConnection,
        series: &'a Series,
        until: Option<Timestamp>,
    ) -> Result<Self, Error> {
        let mut before = VecDeque::new();
        if let Some(until) = until {
            let range = Range {
                from: None,
                to: Some(until + chrono::TimeDelta::microseconds(1)),
            };
            let newest = price_points::history(
                &mut *connection,
                series.series_id,
                range,
                i64::try_from(WINDOW).unwrap_or(i64::MAX),
            )
            .await?;
            before.extend(newest.into_iter().rev());
        }

        let is_cut = sqlx::query_scalar("select points_from is not null from retention")
            .fetch_optional(connection)
            .await?;
        Ok(Self {
            series,
            number: before.len(),
            before,
            is_cut: is_cut.unwrap_or(false),
            until,
        })
    }

    /// Compares the points in the order of time. Returns the time of the last one if it ended
    /// before the series.
    async fn compare(
        &mut self,
        connection: &mut PgConnection,
        verified: &mut Verified,
        deadline: Instant,
    ) -> Result<Option<Timestamp>, Error> {
        loop {
            let range = Range {
                from: self
                    .until
                    .map(|until| until + chrono::TimeDelta::microseconds(1)),
                to: None,
            };
            let series_id = self.series.series_id;
            let chunk = price_points::oldest(&mut *connection, series_id, range, CHUNK).await?;
            let is_last = i64::try_from(chunk.len()).is_ok_and(|points| points < CHUNK);

            for point in chunk {
                self.until = Some(point.timestamp);
                self.compare_point(point, verified);
            }
            if is_last {
                return Ok(None);
            }
            if is_enough(verified, deadline) {
                return Ok(self.until);
            }
        }
    }

    fn compare_point(&mut self, point: PricePoint, verified: &mut Verified) {
        verified.points += 1;
        let window = self.window(&point);
        let is_provable = !self.is_cut || self.number >= WINDOW - 1;

        if let Some(expected) = average(&window) {
            let same = (point.moving_average, point.points) == (expected.value, expected.points);
            let is_whole = point.points <= expected.points;
            if !same && !is_provable && !is_whole {
                verified.unprovable += 1;
            } else if !same {
                self.differ(
                    &point,
                    expected.value.to_string(),
                    expected.points,
                    verified,
                );
            }
        }

        self.number += 1;
        self.before.push_back(point);
        if self.before.len() > WINDOW {
            self.before.pop_front();
        }
    }

    /// The prices that the average of a point is of.
    fn window(&self, point: &PricePoint) -> Vec<Price> {
        let same_unit = |before: &&PricePoint| before.currency == point.currency;
        let run = self.before.iter().rev().take_while(same_unit);
        let before = run.take(WINDOW - 1).map(|before| before.price);
        std::iter::once(point.price).chain(before).collect()
    }

    fn differ(&self, point: &PricePoint, expected: String, points: u8, verified: &mut Verified) {
        let values = [
            (
                What::MovingAverage,
                point.moving_average.to_string(),
                expected,
            ),
            (What::Points, point.points.to_string(), points.to_string()),
        ];
        for (what, stored, expected) in values {
            if stored != expected {
                verified
                    .differences
                    .push(self.difference(point.timestamp, what, stored, expected));
            }
        }
    }

    fn difference(
        &self,
        timestamp: Timestamp,
        what: What,
        stored: String,
        expected: String,
    ) -> Difference {
        Difference {
            symbol: self.series.symbol.clone(),
            provider: self.series.provider.clone(),
            timestamp,
            what,
            stored,
            expected,
        }
    }

    /// Compares the newest point with the one that the series' row has.
    fn compare_newest(&self, verified: &mut Verified) {
        let series = self.series;
        let in_row = newest(
            series.timestamp,
            series.price,
            series.currency.as_ref(),
            series.moving_average,
            series.points,
            series.polled_at,
        );
        let stored = self.before.back().map(|point| {
            newest(
                point.timestamp,
                point.price,
                point.currency.as_ref(),
                point.moving_average,
                point.points,
                point.polled_at,
            )
        });

        let expected = stored.unwrap_or_else(|| "no point".to_owned());
        if in_row != expected {
            let difference = self.difference(series.timestamp, What::Newest, in_row, expected);
            verified.differences.push(difference);
        }
    }
}

/// A point as text.
fn newest(
    timestamp: Timestamp,
    price: Price,
    currency: Option<&Currency>,
    average: ExactDecimal,
    points: u8,
    polled_at: Timestamp,
) -> String {
    let unit = currency.map_or("no unit", Currency::as_str);
    format!(
        "{price} {unit} at {}, average {average} of {points}, polled at {}",
        timestamp.to_rfc3339(),
        polled_at.to_rfc3339()
    )
}
