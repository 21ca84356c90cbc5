//! The naive truth: all answers in memory, the newest per quote, averages computed one by one.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use shared::market::{ProviderName, Symbol, Timestamp};
use shared::moving_average::average;
use shared::price::Price;
use shared::price_event::PriceEvent;
use sqlx::PgPool;
use uuid::Uuid;

/// A stored point, in the terms that the promises speak of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) price: Decimal,
    pub(crate) polled_at: Timestamp,
    pub(crate) average: Decimal,
    pub(crate) points: i16,
}

type Key = (String, String, Timestamp);

/// What must be stored after all of `events`, in whatever order they came.
pub(crate) fn expected(events: &[PriceEvent]) -> BTreeMap<Key, Point> {
    let mut winners =
        BTreeMap::<(&Symbol, &ProviderName), BTreeMap<Timestamp, (Timestamp, Uuid, Price)>>::new();
    for event in events {
        let answer = (event.polled_at, event.id, event.price);
        let quotes = winners.entry((&event.symbol, &event.provider)).or_default();
        let winner = quotes.entry(event.timestamp).or_insert(answer);
        *winner = (*winner).max(answer);
    }
    let mut points = BTreeMap::new();
    for ((symbol, provider), quotes) in winners {
        let mut window = Vec::new();
        for (quoted_at, (polled_at, _, price)) in quotes {
            window.push(price);
            let newest = average(&window[window.len().saturating_sub(5)..]).unwrap();
            let point = Point {
                price: price.value(),
                polled_at,
                average: newest.value,
                points: i16::from(newest.points),
            };
            points.insert((symbol.to_string(), provider.to_string(), quoted_at), point);
        }
    }
    points
}

/// What is stored.
pub(crate) async fn stored(pool: &PgPool) -> BTreeMap<Key, Point> {
    let rows: Vec<(String, String, Timestamp, Decimal, Timestamp, Decimal, i16)> = sqlx::query_as(
        "select s.symbol, s.provider, p.quoted_at, p.price, p.polled_at, p.moving_average, p.points
         from price_points p join series s using (series_id)",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    rows.into_iter()
        .map(|(symbol, provider, quoted_at, price, polled_at, average, points)| {
            let point = Point { price: price.normalize(), polled_at, average: average.normalize(), points };
            ((symbol, provider, quoted_at), point)
        })
        .collect()
}

/// The newest point of each series, as the series itself tells it.
pub(crate) async fn newest(pool: &PgPool) -> BTreeMap<Key, Point> {
    let rows: Vec<(String, String, Timestamp, Decimal, Timestamp, Decimal, i16)> = sqlx::query_as(
        "select symbol, provider, last_at, last_price, last_polled_at, last_average, last_points from series",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    rows.into_iter()
        .map(|(symbol, provider, at, price, polled_at, average, points)| {
            let point = Point { price: price.normalize(), polled_at, average: average.normalize(), points };
            ((symbol, provider, at), point)
        })
        .collect()
}

/// The newest point of each series among `points`.
pub(crate) fn newest_of(points: &BTreeMap<Key, Point>) -> BTreeMap<Key, Point> {
    let mut newest = BTreeMap::<(String, String), (Key, Point)>::new();
    for (key, point) in points {
        newest.insert((key.0.clone(), key.1.clone()), (key.clone(), point.clone()));
    }
    newest.into_values().collect()
}
