//! Points at or before their series' newest one: late, repeated or revised quotes, merged with what is stored.
//!
//! A late point changes its own average and those of the up to four points after it. For each late point the rows
//! around it are read: the four before, its own, and the four after. A row of that set with a changed row in its
//! window has its whole true window in the set, because four successors of every changed row are in it, and four
//! predecessors of every changed row; a row without one is not written.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::series::{Newest, Series};
use super::{Error, Indexed, Point, Stored, append, rank};
use crate::market::Timestamp;
use crate::moving_average::{WINDOW, average};
use crate::price::Price;
use crate::price_event::PriceEvent;

/// A stored or changed row among its neighbours.
#[derive(Clone, Debug)]
struct Row {
    polled_at: Timestamp,
    event_id: Uuid,
    price: Price,
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
        move_tail(series, rows, &repaired, events);
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
}

/// Reads the stored rows around each late point: bounded work, however late it is.
async fn read(
    connection: &mut PgConnection,
    series: &[Series],
    late: &Indexed<'_>,
) -> Result<BTreeMap<i32, Neighbourhood>, Error> {
    let rows: Vec<NeighbourRow> = sqlx::query_as(
        "select n.series_id, n.quoted_at, n.polled_at, n.event_id, n.price
         from unnest($1::int4[], $2::timestamptz[]) as l(series_id, quoted_at)
         cross join lateral (
             (select p.series_id, p.quoted_at, p.polled_at, p.event_id, p.price from price_points p
              where p.series_id = l.series_id and p.quoted_at < l.quoted_at order by p.quoted_at desc limit 4)
             union all
             (select p.series_id, p.quoted_at, p.polled_at, p.event_id, p.price from price_points p
              where p.series_id = l.series_id and p.quoted_at >= l.quoted_at order by p.quoted_at limit 5)
         ) n",
    )
    .bind(late.iter().map(|(index, _)| series[*index].series_id).collect::<Vec<_>>())
    .bind(late.iter().map(|(_, event)| event.timestamp).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut neighbourhoods = BTreeMap::<i32, Neighbourhood>::new();
    for row in rows {
        let price =
            Price::try_from(row.price).map_err(|fault| Error::Rejected(sqlx::Error::decode(fault)))?;
        let neighbour = Row { polled_at: row.polled_at, event_id: row.event_id, price };
        neighbourhoods.entry(row.series_id).or_default().insert(row.quoted_at, neighbour);
    }
    Ok(neighbourhoods)
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
        let row = Row { polled_at: event.polled_at, event_id: event.id, price: event.price };
        match rows.entry(event.timestamp) {
            Entry::Vacant(entry) => {
                entry.insert(row);
                stored.added += 1;
                changed.insert(event.timestamp, true);
            }
            Entry::Occupied(mut entry) => {
                if rank(event) <= (entry.get().polled_at, entry.get().event_id) {
                    continue;
                }
                let new_price = entry.get().price != event.price;
                entry.insert(row);
                stored.revised += 1;
                changed.insert(event.timestamp, new_price);
            }
        }
    }
    changed
}

/// The rows to write: the changed ones, and those whose window contains a changed price.
fn repaired_points(series_id: i32, rows: &Neighbourhood, changed: &BTreeMap<Timestamp, bool>) -> Vec<Point> {
    let repriced: BTreeSet<&Timestamp> =
        changed.iter().filter(|(_, price)| **price).map(|(at, _)| at).collect();
    let ordered: Vec<(&Timestamp, &Row)> = rows.iter().collect();
    let mut points = Vec::new();
    for (index, (quoted_at, row)) in ordered.iter().enumerate() {
        let window = &ordered[(index + 1).saturating_sub(WINDOW)..=index];
        let touched = changed.contains_key(quoted_at) || window.iter().any(|(at, _)| repriced.contains(at));
        let prices: Vec<Price> = window.iter().map(|(_, row)| row.price).collect();
        let (true, Some(average)) = (touched, average(&prices)) else { continue };
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

/// Brings the series' tail and newest point up to date with the merged rows.
///
/// Only when the newest point is among the rows can a late one have changed anything there: a set that does not reach
/// it has four stored successors of each late point, which lie between that point and the tail.
fn move_tail(series: &mut Series, rows: &Neighbourhood, repaired: &[Point], events: &[(usize, &PriceEvent)]) {
    let Some(newest) = &mut series.newest else { return };
    if !rows.contains_key(&newest.quoted_at) {
        return;
    }
    let newest_prices = rows.values().rev().take(WINDOW - 1).map(|row| row.price);
    let mut tail: Vec<Price> = newest_prices.collect();
    tail.reverse();
    series.tail = tail;
    series.changed = true;
    if let Some(point) = repaired.iter().find(|point| point.quoted_at == newest.quoted_at) {
        let revision = events.iter().find(|(_, event)| event.id == point.event_id);
        let currency = revision.map_or_else(|| newest.currency.clone(), |(_, event)| event.currency.clone());
        *newest = Newest {
            quoted_at: point.quoted_at,
            polled_at: point.polled_at,
            average: point.average,
            currency,
        };
    }
}
