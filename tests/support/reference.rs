//! A naive reference: all answers in memory, the newest for each quote, averages computed one by
//! one.

use std::collections::BTreeMap;

use shared::market::{Currency, ProviderName, Symbol, Timestamp};
use shared::price::Price;
use shared::price_event::PriceEvent;
use sqlx::PgPool;
use uuid::Uuid;

/// A stored point, in the terms of the promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// The price of the newest answer.
    pub price: String,
    /// The price's unit, if the answer names one.
    pub currency: Option<String>,
    /// When that answer was polled.
    pub polled_at: Timestamp,
    /// The mean of this point and the up to four before it that have its unit without a break.
    pub average: String,
    /// How many points the average covers.
    pub points: i16,
}

/// A quote: symbol, provider, quote time.
pub type Key = (String, String, Timestamp);

/// What decides between several answers for one quote: the greatest wins.
type Answer<'a> = (Timestamp, Uuid, Price, Option<&'a Currency>);

/// The points that must be stored after all of `events`, in any order.
#[must_use]
pub fn expected(events: &[PriceEvent]) -> BTreeMap<Key, Point> {
    let mut winners = BTreeMap::<(&Symbol, &ProviderName), BTreeMap<Timestamp, Answer<'_>>>::new();
    for event in events {
        let answer = (
            event.polled_at,
            event.id,
            event.price,
            event.currency.as_ref(),
        );

        let quotes = winners.entry((&event.symbol, &event.provider)).or_default();
        let winner = quotes.entry(event.timestamp).or_insert(answer);
        *winner = (*winner).max(answer);
    }

    let mut points = BTreeMap::new();
    for ((symbol, provider), quotes) in winners {
        let mut window = Vec::new();
        let mut unit = None;
        for (quoted_at, (polled_at, _, price, currency)) in quotes {
            if unit.replace(currency) != Some(currency) {
                window.clear();
            }

            window.push(price);
            let newest = &window[window.len().saturating_sub(5)..];
            let point = Point {
                price: price.to_string(),
                currency: currency.map(ToString::to_string),
                polled_at,
                average: mean(newest),
                points: i16::try_from(newest.len()).unwrap_or(i16::MAX),
            };

            points.insert((symbol.to_string(), provider.to_string(), quoted_at), point);
        }
    }

    points
}

/// Decimal places in which every price, and every exact mean of up to five prices, is a whole
/// number.
const PLACES: u32 = 22;

/// The mean of one to five prices, computed differently from the product: all of them at one
/// sufficiently fine scale, then divided by long division.
///
/// # Panics
/// When a price has more decimal places than prices may have.
#[must_use]
pub fn mean(prices: &[Price]) -> String {
    let scale = |price: &Price| price.value().scale();
    let units = |price: &Price| price.value().mantissa() * 10_i128.pow(PLACES - scale(price));

    let sum: i128 = prices.iter().map(units).sum();
    let number = i128::try_from(prices.len()).unwrap_or(i128::MAX);

    let mut unit = 1;
    if number == 3 {
        // Rounded half-even to two places more than the most precise price has, and at least six.
        let kept = prices.iter().map(scale).max().unwrap_or(0).max(4) + 2;
        unit = 10_i128.pow(PLACES - kept);
    }

    let (mut quotient, rest) = (sum / (number * unit), sum % (number * unit));
    let half = (2 * rest).cmp(&(number * unit));
    assert!(
        number == 3 || rest == 0,
        "a mean of {number} has a last digit"
    );

    if half.is_gt() || (half.is_eq() && quotient % 2 == 1) {
        quotient += 1;
    }

    let digits = format!("{:0>23}", quotient * unit);
    let (integer, fraction) = digits.split_at(digits.len() - PLACES as usize);

    format!("{integer}.{fraction}")
        .trim_end_matches('0')
        .trim_end_matches('.')
        .to_owned()
}

/// All stored points.
///
/// # Panics
/// When they cannot be read, or a quote has two points.
pub async fn stored(pool: &PgPool) -> BTreeMap<Key, Point> {
    read(
        pool,
        "select s.symbol, s.provider, p.quoted_at, p.price::text, u.unit, p.polled_at, p.moving_average::text, p.points
         from price_points p join series s using (series_id)
         left join units u on u.unit_id = coalesce(p.unit_id, s.old_unit_id)",
    )
    .await
}

/// The series whose counted points or first time differ from what is stored, by symbol.
///
/// # Panics
/// When the statement fails.
pub async fn miscounted(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "select s.symbol from series s
         cross join lateral (
             select count(*) as points, min(quoted_at) as first from price_points where series_id = s.series_id
         ) stored
         where s.point_count is distinct from stored.points or s.first_at is distinct from stored.first
         order by s.symbol",
    )
    .fetch_all(pool)
    .await
    .expect("a count")
}

/// The newest point of each series, as the row in `series` has it.
///
/// # Panics
/// When they cannot be read, or a series appears twice.
pub async fn newest(pool: &PgPool) -> BTreeMap<Key, Point> {
    read(
        pool,
        "select symbol, provider, last_at, last_price::text, last_currency, last_polled_at, last_average::text, last_points
         from series where last_at is not null",
    )
    .await
}

type Row = (
    String,
    String,
    Timestamp,
    String,
    Option<String>,
    Timestamp,
    String,
    i16,
);

async fn read(pool: &PgPool, query: &'static str) -> BTreeMap<Key, Point> {
    let rows: Vec<Row> = sqlx::query_as(query)
        .fetch_all(pool)
        .await
        .expect("points are read");

    let mut points = BTreeMap::new();
    for (symbol, provider, quoted_at, price, currency, polled_at, average, count) in rows {
        let point = Point {
            price,
            currency,
            polled_at,
            average,
            points: count,
        };

        let key = (symbol, provider, quoted_at);
        assert!(
            points.insert(key.clone(), point).is_none(),
            "{key:?} is there twice"
        );
    }

    points
}

/// The newest point of each series among `points`.
#[must_use]
pub fn newest_of(points: &BTreeMap<Key, Point>) -> BTreeMap<Key, Point> {
    let mut newest = BTreeMap::<(&str, &str), (&Key, &Point)>::new();
    for (key, point) in points {
        newest.insert((&key.0, &key.1), (key, point));
    }

    newest
        .into_values()
        .map(|(key, point)| (key.clone(), point.clone()))
        .collect()
}
