//! Points at or before their series' newest one: late, repeated or revised quotes, merged with what
//! is stored.
//!
//! A late point changes its own average and those of the up to four points after it; so does a
//! revision to another price or unit. For each late point its surrounding rows are read: the four
//! before it, its own, and the four after it. This set holds four predecessors and four successors
//! of every changed row. So every row with a changed row among the four before it has its whole
//! window in the set. Other rows are not written. Where a window reaches rows that retention has
//! dropped, `beyond` derives what is missing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rust_decimal::Decimal;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::beyond::Beyond;
use super::fence::Marks;
use super::series::{Newest, SeriesState};
use super::stale::{self, Quarters};
use super::units::{self, Units};
use super::{Error, Indexed, Point, Stored, append, changed, rank};
use crate::candle::quarter_of;
use crate::exact_decimal::ExactDecimal;
use crate::market::{Currency, Timestamp};
use crate::moving_average::{MovingAverage, WINDOW};
use crate::price::Price;
use crate::price_event::PriceEvent;

/// A stored or changed row among its neighbours.
#[derive(Clone, Debug)]
pub(super) struct Row {
    polled_at: Timestamp,
    event_id: Uuid,
    pub(super) price: Price,
    currency: Option<Currency>,
    /// The number of the currency.
    pub(super) unit_id: i16,
    /// The stored average, which may include dropped rows; `None` for new rows.
    pub(super) average: Option<MovingAverage>,
}

/// The rows around the late points of one series, oldest first.
pub(super) type Neighbourhood = BTreeMap<Timestamp, Row>;

/// Merges the late events: writes the points that they change, and repairs the averages that
/// include those points and the tails of their series. `found` are the marks at the batch's fences.
pub(super) async fn merge(
    connection: &mut PgConnection,
    series: &mut [SeriesState],
    late: &Indexed<'_>,
    units: &Units,
    found: &Marks,
    stored: &mut Stored,
) -> Result<(), Error> {
    debug_assert!(
        late.is_sorted_by_key(|(index, event)| (*index, event.timestamp)),
        "late events are ordered by series and quote time"
    );
    if late.is_empty() {
        return Ok(());
    }

    let mut neighbourhoods = read(connection, series, late).await?;
    let mut points = Vec::new();
    let mut quarters = Quarters::new();

    for events in late.chunk_by(|(a, _), (b, _)| a == b) {
        let series = &mut series[events[0].0];
        let rows = neighbourhoods.entry(series.series_id).or_default();

        // Before `apply`: it derives dropped prices from the averages as they are stored.
        let beyond = Beyond::of(series, rows);
        let known = stored.added;
        let changed = apply(rows, events.iter().map(|(_, event)| *event), units, stored)?;
        let Some(earliest) = changed.keys().next() else {
            continue;
        };

        let added = stored.added - known;
        if added > 0 {
            // The earliest changed point may be a stored one, which is not before the first one.
            let added = i64::try_from(added).unwrap_or(i64::MAX);
            series.added.add(added, *earliest);
            series.changed = true;
        }

        let repriced = changed.iter().filter(|(_, repriced)| **repriced);
        quarters.extend(repriced.map(|(at, _)| (series.series_id, quarter_of(*at))));

        let repaired = repaired_points(series.series_id, rows, &beyond, &changed);
        if changed.values().any(|repriced| *repriced) {
            move_tail(series, rows, &beyond);
        }
        renew_newest(series, rows, &repaired);

        points.extend(repaired);
    }

    append::upsert(connection, &points).await?;
    stale::mark(connection, &quarters).await?;
    changed::list(connection, series, &points, found).await
}

#[derive(sqlx::FromRow)]
struct NeighbourRow {
    series_id: i32,
    quoted_at: Timestamp,
    polled_at: Timestamp,
    event_id: Uuid,
    price: Decimal,
    moving_average: ExactDecimal,
    points: i16,
    unit_id: i16,
    unit: Option<String>,
}

/// Reads the stored rows around each late point: at most nine, however late the point is.
async fn read(
    connection: &mut PgConnection,
    series: &[SeriesState],
    late: &Indexed<'_>,
) -> Result<BTreeMap<i32, Neighbourhood>, Error> {
    let rows: Vec<NeighbourRow> = sqlx::query_as(
        "select n.series_id, n.quoted_at, n.polled_at, n.event_id, n.price, n.moving_average, n.points,
                coalesce(n.unit_id, l.old_unit_id) as unit_id, u.unit
         from unnest($1::int4[], $2::timestamptz[], $3::int2[]) as l(series_id, quoted_at, old_unit_id)
         cross join lateral (
             (select p.* from price_points p
              where p.series_id = l.series_id and p.quoted_at < l.quoted_at order by p.quoted_at desc limit 4)
             union all
             (select p.* from price_points p
              where p.series_id = l.series_id and p.quoted_at >= l.quoted_at order by p.quoted_at limit 5)
         ) n
         left join units u on u.unit_id = coalesce(n.unit_id, l.old_unit_id)",
    )
    .bind(late.iter().map(|(index, _)| series[*index].series_id).collect::<Vec<_>>())
    .bind(late.iter().map(|(_, event)| event.timestamp).collect::<Vec<_>>())
    .bind(late.iter().map(|(index, _)| series[*index].old_unit_id).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;

    let mut neighbourhoods = BTreeMap::<i32, Neighbourhood>::new();
    for row in rows {
        let (series_id, quoted_at) = (row.series_id, row.quoted_at);
        let decoded = row
            .decode()
            .map_err(|fault| Error::Rejected(sqlx::Error::decode(fault)))?;
        neighbourhoods
            .entry(series_id)
            .or_default()
            .insert(quoted_at, decoded);
    }

    Ok(neighbourhoods)
}

impl NeighbourRow {
    fn decode(self) -> Result<Row, Box<dyn std::error::Error + Send + Sync>> {
        let average = MovingAverage {
            value: self.moving_average,
            points: u8::try_from(self.points)?,
        };
        Ok(Row {
            polled_at: self.polled_at,
            event_id: self.event_id,
            price: Price::try_from(self.price)?,
            currency: self.unit.map(Currency::try_from).transpose()?,
            unit_id: self.unit_id,
            average: Some(average),
        })
    }
}

/// Inserts the events that are new or outrank the stored answer. Returns the quote times of the
/// changed rows, each with whether its price or unit changed, that is, whether averages change too.
fn apply<'a>(
    rows: &mut Neighbourhood,
    events: impl Iterator<Item = &'a PriceEvent>,
    units: &Units,
    stored: &mut Stored,
) -> Result<BTreeMap<Timestamp, bool>, Error> {
    let mut changed = BTreeMap::new();

    for event in events {
        let mut row = Row {
            polled_at: event.polled_at,
            event_id: event.id,
            price: event.price,
            currency: event.currency.clone(),
            unit_id: units::of_event(units, event)?,
            average: None,
        };

        match rows.entry(event.timestamp) {
            Entry::Vacant(entry) => {
                entry.insert(row);
                stored.added += 1;
                changed.insert(event.timestamp, true);
            }
            Entry::Occupied(mut entry) => {
                let stands = entry.get();
                let answer = (
                    stands.polled_at,
                    stands.event_id,
                    stands.price,
                    stands.currency.as_ref(),
                );
                if rank(event) <= answer {
                    continue;
                }

                let repriced = (stands.price, stands.unit_id) != (row.price, row.unit_id);
                row.average = stands.average;
                entry.insert(row);
                stored.revised += 1;
                changed.insert(event.timestamp, repriced);
            }
        }
    }

    Ok(changed)
}

/// The rows to write: the changed ones, and those whose averages change because a price or unit
/// among the four before them does. A row with a new poll time only keeps its stored average.
fn repaired_points(
    series_id: i32,
    rows: &Neighbourhood,
    beyond: &Beyond,
    changed: &BTreeMap<Timestamp, bool>,
) -> Vec<Point> {
    let (times, ordered): (Vec<Timestamp>, Vec<&Row>) = rows.iter().unzip();
    let mut points = Vec::new();

    for (index, (quoted_at, row)) in times.iter().zip(&ordered).enumerate() {
        let around = &times[(index + 1).saturating_sub(WINDOW)..=index];
        let average = if around.iter().any(|at| changed.get(at) == Some(&true)) {
            beyond.average(&ordered, index)
        } else {
            row.average.filter(|_| changed.contains_key(quoted_at))
        };

        let Some(average) = average else { continue };
        let is_as_stored = row.average == Some(average);
        if is_as_stored && !changed.contains_key(quoted_at) {
            continue;
        }

        points.push(Point {
            series_id,
            quoted_at: *quoted_at,
            polled_at: row.polled_at,
            event_id: row.event_id,
            price: row.price,
            average,
            unit_id: row.unit_id,
        });
    }

    points
}

/// Brings the series' tail up to date with the merged rows.
///
/// A late point can change the tail only if the newest point is among the rows. Otherwise four
/// stored successors of each late point lie between it and the tail.
fn move_tail(series: &mut SeriesState, rows: &Neighbourhood, beyond: &Beyond) {
    if series
        .newest
        .as_ref()
        .is_some_and(|newest| rows.contains_key(&newest.quoted_at))
    {
        series.tail = beyond.tail(rows);
        series.changed = true;
    }
}

/// Brings the series' newest point up to date, if it is among those written.
fn renew_newest(series: &mut SeriesState, rows: &Neighbourhood, repaired: &[Point]) {
    let Some(newest) = &mut series.newest else {
        return;
    };
    let Some(point) = repaired
        .iter()
        .find(|point| point.quoted_at == newest.quoted_at)
    else {
        return;
    };

    *newest = Newest {
        quoted_at: point.quoted_at,
        polled_at: point.polled_at,
        average: point.average,
        currency: rows
            .get(&point.quoted_at)
            .and_then(|row| row.currency.clone()),
    };
    series.changed = true;
}
