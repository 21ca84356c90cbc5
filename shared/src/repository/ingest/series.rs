//! The series rows of a batch: read, created if missing, and written back.

use std::collections::HashMap;

use rust_decimal::Decimal;
use sqlx::postgres::PgConnection;

use super::added::Added;
use super::{Error, Point, shard};
use crate::exact_decimal::ExactDecimal;
use crate::market::{Currency, ProviderName, Symbol, Timestamp};
use crate::moving_average::{MovingAverage, WINDOW, average};
use crate::price::Price;
use crate::price_event::PriceEvent;

mod columns;

pub(super) use columns::{bind, changed};

/// The names of a series, and the number of its fence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<'a> {
    pub(super) symbol: &'a Symbol,
    pub(super) provider: &'a ProviderName,
    pub(super) shard: i32,
}

impl<'a> Key<'a> {
    pub(super) fn new(symbol: &'a Symbol, provider: &'a ProviderName) -> Self {
        Self {
            symbol,
            provider,
            shard: shard::of(symbol),
        }
    }
}

/// A series of the batch, known or still to be read.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all series of a batch are known"
)]
pub(super) enum Slot<'a> {
    /// Remembered, and still valid.
    Known(SeriesState),
    /// To be read or created.
    Unknown(Key<'a>),
}

impl Slot<'_> {
    /// The series, if it is known.
    pub(super) fn known(self) -> Option<SeriesState> {
        match self {
            Self::Known(series) => Some(series),
            Self::Unknown(_) => None,
        }
    }
}

/// A series whose fence is held, with the tail from which its next average follows.
#[derive(Clone, Debug)]
pub(super) struct SeriesState {
    pub(super) series_id: i32,
    pub(super) symbol: Symbol,
    pub(super) provider: ProviderName,
    pub(super) shard: i32,
    /// The newest point by quote time.
    pub(super) newest: Option<Newest>,
    /// The newest prices with the newest point's unit, without a break, oldest first; at most one
    /// less than a window.
    pub(super) tail: Vec<Price>,
    /// The unit of its points that were stored before points had units.
    pub(super) old_unit_id: i16,
    /// Whether the row must be written back.
    pub(super) changed: bool,
    /// What the batch adds to the stored points.
    pub(super) added: Added,
}

/// The newest point of a series, with what reads of the latest price return.
#[derive(Clone, Debug)]
pub(super) struct Newest {
    pub(super) quoted_at: Timestamp,
    pub(super) polled_at: Timestamp,
    pub(super) average: MovingAverage,
    pub(super) currency: Option<Currency>,
}

impl SeriesState {
    /// Adds a point after the newest one and moves the tail. A different unit starts a new tail.
    pub(super) fn extend(&mut self, event: &PriceEvent, unit_id: i16) -> Point {
        debug_assert!(
            self.newest
                .as_ref()
                .is_none_or(|newest| newest.quoted_at < event.timestamp),
            "an appended point is later than the newest one"
        );
        debug_assert!(
            self.tail.len() < WINDOW,
            "a tail is shorter than a whole window"
        );

        let mut window = std::mem::take(&mut self.tail);
        if self
            .newest
            .as_ref()
            .is_some_and(|newest| newest.currency != event.currency)
        {
            window.clear();
        }

        window.push(event.price);
        let average = average(&window).unwrap_or(MovingAverage {
            value: event.price.into(),
            points: 1,
        });

        if window.len() == WINDOW {
            window.remove(0);
        }

        self.tail = window;
        self.newest = Some(Newest {
            quoted_at: event.timestamp,
            polled_at: event.polled_at,
            average,
            currency: event.currency.clone(),
        });
        self.changed = true;
        self.added.add(1, event.timestamp);

        Point {
            series_id: self.series_id,
            quoted_at: event.timestamp,
            polled_at: event.polled_at,
            event_id: event.id,
            price: event.price,
            average,
            unit_id,
        }
    }
}

/// Fills in the unknown series: reads those that exist, and creates the others. No other writer can
/// create them meanwhile, because their fences are held.
pub(super) async fn read_or_insert(
    connection: &mut PgConnection,
    slots: &mut [Slot<'_>],
) -> Result<(), Error> {
    read(connection, slots, READ).await?;
    read(connection, slots, INSERT).await?;

    match slots.iter().find(|slot| matches!(slot, Slot::Unknown(_))) {
        Some(slot) => Err(Error::Rejected(sqlx::Error::decode(format!(
            "{slot:?} can be neither read nor made"
        )))),
        None => Ok(()),
    }
}

const READ: &str = "select s.series_id, s.symbol, s.provider, s.last_at, s.last_polled_at, s.last_price,
            s.last_average, s.last_points, s.last_currency, s.price_before_3, s.price_before_2, s.price_before_1,
            coalesce(s.old_unit_id, 0::int2) as old_unit_id
     from unnest($1::text[], $2::text[]) as k(symbol, provider)
     join series s on s.symbol = k.symbol and s.provider = k.provider";

const INSERT: &str = "insert into series (symbol, provider, point_count)
     select k.symbol, k.provider, 0 from unnest($1::text[], $2::text[]) as k(symbol, provider)
     returning series_id, symbol, provider, last_at, last_polled_at, last_price,
            last_average, last_points, last_currency, price_before_3, price_before_2, price_before_1,
            0::int2 as old_unit_id";

/// Runs `statement` for the unknown series, and fills in the rows that it returns.
async fn read(
    connection: &mut PgConnection,
    slots: &mut [Slot<'_>],
    statement: &'static str,
) -> Result<(), Error> {
    let unknown = |slot: &Slot<'_>| match slot {
        Slot::Known(_) => None,
        Slot::Unknown(key) => Some((
            key.symbol.as_str().to_owned(),
            key.provider.as_str().to_owned(),
        )),
    };
    let names: Vec<(String, String)> = slots.iter().filter_map(unknown).collect();
    if names.is_empty() {
        return Ok(());
    }

    let (symbols, providers): (Vec<_>, Vec<_>) = names.into_iter().unzip();
    let rows: Vec<SeriesRow> = sqlx::query_as(statement)
        .bind(symbols)
        .bind(providers)
        .fetch_all(connection)
        .await?;

    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        let series = row
            .into_series()
            .map_err(|fault| Error::Rejected(sqlx::Error::decode(fault)))?;
        found.insert((series.symbol.clone(), series.provider.clone()), series);
    }

    for slot in slots {
        if let Slot::Unknown(key) = slot
            && let Some(series) = found.remove(&(key.symbol.clone(), key.provider.clone()))
        {
            *slot = Slot::Known(series);
        }
    }

    Ok(())
}

#[derive(sqlx::FromRow)]
struct SeriesRow {
    series_id: i32,
    symbol: String,
    provider: String,
    last_at: Option<Timestamp>,
    last_polled_at: Option<Timestamp>,
    last_price: Option<Decimal>,
    last_average: Option<ExactDecimal>,
    last_points: Option<i16>,
    last_currency: Option<String>,
    price_before_3: Option<Decimal>,
    price_before_2: Option<Decimal>,
    price_before_1: Option<Decimal>,
    old_unit_id: i16,
}

impl SeriesRow {
    fn into_series(self) -> Result<SeriesState, Box<dyn std::error::Error + Send + Sync>> {
        let before = [
            self.price_before_3,
            self.price_before_2,
            self.price_before_1,
            self.last_price,
        ];
        let tail = before
            .into_iter()
            .flatten()
            .map(Price::try_from)
            .collect::<Result<Vec<_>, _>>()?;

        let newest = match (
            self.last_at,
            self.last_polled_at,
            self.last_average,
            self.last_points,
        ) {
            (Some(quoted_at), Some(polled_at), Some(value), Some(points)) => Some(Newest {
                quoted_at,
                polled_at,
                average: MovingAverage {
                    value,
                    points: u8::try_from(points)?,
                },
                currency: self.last_currency.map(Currency::try_from).transpose()?,
            }),
            _ => None,
        };

        let symbol: Symbol = self.symbol.parse()?;
        let (shard, provider) = (shard::of(&symbol), self.provider.parse()?);
        let Self {
            series_id,
            old_unit_id,
            ..
        } = self;
        Ok(SeriesState {
            series_id,
            symbol,
            provider,
            shard,
            newest,
            tail,
            old_unit_id,
            changed: false,
            added: Added::default(),
        })
    }
}

/// Writes the changed series back, in one statement.
pub(super) async fn update(
    connection: &mut PgConnection,
    series: &[SeriesState],
) -> Result<(), Error> {
    let changed = changed(series);
    if changed.is_empty() {
        return Ok(());
    }

    let updated = bind(
        sqlx::query(
            "update series s
             set last_at = u.last_at, last_polled_at = u.last_polled_at, last_price = u.last_price,
                 last_average = u.last_average, last_points = u.last_points, last_currency = u.last_currency,
                 price_before_3 = u.before_3, price_before_2 = u.before_2, price_before_1 = u.before_1,
                 point_count = s.point_count + u.added, first_at = least(s.first_at, u.earliest)
             from unnest($1::int4[], $2::timestamptz[], $3::timestamptz[], $4::numeric[], $5::numeric[],
                         $6::int2[], $7::text[], $8::numeric[], $9::numeric[], $10::numeric[],
                         $11::int8[], $12::timestamptz[])
                  as u(series_id, last_at, last_polled_at, last_price, last_average, last_points, last_currency,
                       before_3, before_2, before_1, added, earliest)
             where s.series_id = u.series_id",
        ),
        &changed,
    )
    .bind(
        changed
            .iter()
            .map(|(series, _)| series.added.earliest)
            .collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;

    if updated.rows_affected() != changed.len() as u64 {
        return Err(Error::Rejected(sqlx::Error::decode(
            "series that were just read are gone",
        )));
    }
    Ok(())
}
