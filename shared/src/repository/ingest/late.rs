//! Points at or before their series' newest one: late, repeated or revised quotes, merged with what is stored.
//!
//! A late point changes its own average and those of the up to four points after it. For each late point the rows
//! around it are read: the four before, its own, and the four after. A row of that set with a changed row in its
//! window has its whole true window in the set, because four successors of every changed row are in it, and four
//! predecessors of every changed row; a row without one is not written.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rust_decimal::Decimal;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::series::{Newest, Series};
use super::{Error, Indexed, Point, Stored, append, rank};
use crate::exact_decimal::ExactDecimal;
use crate::market::Timestamp;
use crate::moving_average::{MovingAverage, WINDOW, average};
use crate::price::Price;
use crate::price_event::PriceEvent;

/// A stored or changed row among its neighbours.
#[derive(Clone, Debug)]
struct Row {
    polled_at: Timestamp,
    event_id: Uuid,
    price: Price,
    /// As it is stored, which retention may have made another than that of the rows still there; none for new rows.
    average: Option<MovingAverage>,
}

/// The rows around the late points of one series, oldest first.
type Neighbourhood = BTreeMap<Timestamp, Row>;

/// Merges the late events: writes the points they change and repairs the averages that contain them, and the
/// tails of their series.
pub(super) async fn merge(
    connection: &mut PgConnection,
    series: &mut [Series],
    late: &Indexed<'_>,
    stored: &mut Stored,
) -> Result<(), Error> {
    if late.is_empty() {
        return Ok(());
    }
    let mut neighbourhoods = read(connection, series, late).await?;
    let mut points = Vec::new();
    for events in late.chunk_by(|(a, _), (b, _)| a == b) {
        let series = &mut series[events[0].0];
        let rows = neighbourhoods.entry(series.series_id).or_default();
        let changed = apply(rows, events.iter().map(|(_, event)| *event), stored);
        if changed.is_empty() {
            continue;
        }
        let repaired = repaired_points(series.series_id, rows, &changed);
        if changed.values().any(|repriced| *repriced) {
            move_tail(series, rows);
        }
        renew_newest(series, &repaired, events);
        points.extend(repaired);
    }
    append::upsert(connection, &points).await
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
}

/// Reads the stored rows around each late point: bounded work, however late it is.
async fn read(
    connection: &mut PgConnection,
    series: &[Series],
    late: &Indexed<'_>,
) -> Result<BTreeMap<i32, Neighbourhood>, Error> {
    let rows: Vec<NeighbourRow> = sqlx::query_as(
        "select n.series_id, n.quoted_at, n.polled_at, n.event_id, n.price, n.moving_average, n.points
         from unnest($1::int4[], $2::timestamptz[]) as l(series_id, quoted_at)
         cross join lateral (
             (select p.* from price_points p
              where p.series_id = l.series_id and p.quoted_at < l.quoted_at order by p.quoted_at desc limit 4)
             union all
             (select p.* from price_points p
              where p.series_id = l.series_id and p.quoted_at >= l.quoted_at order by p.quoted_at limit 5)
         ) n",
    )
    .bind(late.iter().map(|(index, _)| series[*index].series_id).collect::<Vec<_>>())
    .bind(late.iter().map(|(_, event)| event.timestamp).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut neighbourhoods = BTreeMap::<i32, Neighbourhood>::new();
    for row in rows {
        let decoded = row.decode().map_err(|fault| Error::Rejected(sqlx::Error::decode(fault)))?;
        neighbourhoods.entry(row.series_id).or_default().insert(row.quoted_at, decoded);
    }
    Ok(neighbourhoods)
}

impl NeighbourRow {
    fn decode(&self) -> Result<Row, Box<dyn std::error::Error + Send + Sync>> {
        let average = MovingAverage { value: self.moving_average, points: u8::try_from(self.points)? };
        Ok(Row {
            polled_at: self.polled_at,
            event_id: self.event_id,
            price: Price::try_from(self.price)?,
            average: Some(average),
        })
    }
}

/// Puts the events that are new, or outrank the stored answer, among the rows; returns their quote times and
/// whether their price changed, that is, whether averages must follow.
fn apply<'a>(
    rows: &mut Neighbourhood,
    events: impl Iterator<Item = &'a PriceEvent>,
    stored: &mut Stored,
) -> BTreeMap<Timestamp, bool> {
    let mut changed = BTreeMap::new();
    for event in events {
        let mut row =
            Row { polled_at: event.polled_at, event_id: event.id, price: event.price, average: None };
        match rows.entry(event.timestamp) {
            Entry::Vacant(entry) => {
                entry.insert(row);
                stored.added += 1;
                changed.insert(event.timestamp, true);
            }
            Entry::Occupied(mut entry) => {
                let stands = entry.get();
                if rank(event) <= (stands.polled_at, stands.event_id, stands.price) {
                    continue;
                }
                let new_price = stands.price != event.price;
                row.average = stands.average;
                entry.insert(row);
                stored.revised += 1;
                changed.insert(event.timestamp, new_price);
            }
        }
    }
    changed
}

/// The rows to write: the changed ones, and those whose window contains a changed price. Where only the poll is another
/// one, the average stays as it is stored.
fn repaired_points(series_id: i32, rows: &Neighbourhood, changed: &BTreeMap<Timestamp, bool>) -> Vec<Point> {
    let ordered: Vec<(&Timestamp, &Row)> = rows.iter().collect();
    let mut points = Vec::new();
    for (index, (quoted_at, row)) in ordered.iter().enumerate() {
        let window = &ordered[(index + 1).saturating_sub(WINDOW)..=index];
        let prices: Vec<Price> = window.iter().map(|(_, row)| row.price).collect();
        let average = if window.iter().any(|(at, _)| changed.get(at) == Some(&true)) {
            average(&prices)
        } else {
            row.average.filter(|_| changed.contains_key(quoted_at))
        };
        let Some(average) = average else { continue };
        points.push(Point {
            series_id,
            quoted_at: **quoted_at,
            polled_at: row.polled_at,
            event_id: row.event_id,
            price: row.price,
            average,
        });
    }
    points
}

/// Brings the series' tail up to date with the merged rows.
///
/// Only when the newest point is among the rows can a late one have changed anything there: a set that does not reach
/// it has four stored successors of each late point, which lie between that point and the tail.
fn move_tail(series: &mut Series, rows: &Neighbourhood) {
    if !series.newest.as_ref().is_some_and(|newest| rows.contains_key(&newest.quoted_at)) {
        return;
    }
    let mut tail: Vec<Price> = rows.values().rev().take(WINDOW - 1).map(|row| row.price).collect();
    tail.reverse();
    series.tail = tail;
    series.changed = true;
}

/// Brings the series' newest point up to date, if it is among those written.
fn renew_newest(series: &mut Series, repaired: &[Point], events: &[(usize, &PriceEvent)]) {
    let Some(newest) = &mut series.newest else { return };
    let Some(point) = repaired.iter().find(|point| point.quoted_at == newest.quoted_at) else { return };
    // An event that gave the point its present answer, if one of this batch did; else only its average changed.
    let answer = (point.polled_at, point.event_id, point.price);
    let is_it = |event: &PriceEvent| event.timestamp == point.quoted_at && rank(event) == answer;
    let revision = events.iter().find(|(_, event)| is_it(event));
    *newest = Newest {
        quoted_at: point.quoted_at,
        polled_at: point.polled_at,
        average: point.average,
        currency: revision.map_or_else(|| newest.currency.clone(), |(_, event)| event.currency.clone()),
    };
    series.changed = true;
}
