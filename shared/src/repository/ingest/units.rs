//! Units of prices: names that points refer to by number.
//!
//! Few names are in use, and new ones are rare. A batch's units are looked up in the statement that
//! locks its fences. The express path binds the numbers that it remembers, and its statement
//! compares them.

use std::collections::HashMap;

use sqlx::postgres::PgConnection;

use super::Error;
use crate::market::Currency;
use crate::price_event::PriceEvent;

/// The number of a price without a unit, which is a unit of its own.
pub(super) const ABSENT: i16 = 0;

/// The numbers of units, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Units(HashMap<Currency, i16>);

impl Units {
    /// The number of a unit; `None` if it is not known.
    pub(super) fn number(&self, currency: Option<&Currency>) -> Option<i16> {
        currency.map_or(Some(ABSENT), |currency| self.0.get(currency).copied())
    }

    /// The numbers of these units, if all of them are known.
    pub(super) fn numbers(&self, currencies: &[Currency]) -> Option<Vec<i16>> {
        currencies
            .iter()
            .map(|currency| self.number(Some(currency)))
            .collect()
    }

    /// Adds the units of another map.
    pub(super) fn extend(&mut self, units: Self) {
        self.0.extend(units.0);
    }
}

/// The number of an event's unit, which was looked up with the batch.
pub(super) fn of_event(units: &Units, event: &PriceEvent) -> Result<i16, Error> {
    let absent = || Error::Rejected(sqlx::Error::decode("a unit of the batch was not looked up"));
    units.number(event.currency.as_ref()).ok_or_else(absent)
}

/// The units of a batch, from the numbers that a statement found for their names, in the same
/// order. Units without a number are created.
pub(super) async fn complete(
    connection: &mut PgConnection,
    currencies: &[Currency],
    numbers: Vec<Option<i16>>,
) -> Result<Units, Error> {
    let mut units = Units::default();
    let mut missing = Vec::new();

    for (currency, number) in currencies.iter().zip(numbers) {
        match number {
            Some(number) => drop(units.0.insert(currency.clone(), number)),
            None => missing.push(currency.as_str().to_owned()),
        }
    }

    if !missing.is_empty() {
        let made = make(connection, &missing).await?;

        let missing = currencies
            .iter()
            .filter(|currency| !units.0.contains_key(*currency))
            .cloned();
        let made: Vec<_> = missing
            .filter_map(|name| Some((made.get(name.as_str()).copied()?, name)))
            .collect();
        units
            .0
            .extend(made.into_iter().map(|(number, name)| (name, number)));
    }

    Ok(units)
}

/// Gives numbers to units that have none, one writer at a time. When the numbers run out, Postgres
/// refuses the value (22003), and the event is quarantined like any other that Postgres refuses.
///
/// No deadlock is possible: a writer that waits here holds only fences, and the holder of the lock
/// needs no more fences.
async fn make(
    connection: &mut PgConnection,
    names: &[String],
) -> Result<HashMap<String, i16>, Error> {
    // A statement of its own, so that the next one sees what the last holder of the lock committed.
    sqlx::query("lock table units in share row exclusive mode")
        .execute(&mut *connection)
        .await?;

    sqlx::query(
        "insert into units (unit_id, unit)
         select (select coalesce(max(unit_id), 0) from units) + row_number() over (order by k.unit), k.unit
         from unnest($1::text[]) as k(unit)
         where not exists (select from units u where u.unit = k.unit)",
    )
    .bind(names)
    .execute(&mut *connection)
    .await?;

    let made: Vec<(String, i16)> =
        sqlx::query_as("select unit, unit_id from units where unit = any($1)")
            .bind(names)
            .fetch_all(connection)
            .await?;

    Ok(made.into_iter().collect())
}
