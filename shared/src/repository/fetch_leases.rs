//! Leases on fetches: who fetches which quote at this moment, and what came of the last fetch.

use std::time::Duration;

use sqlx::PgExecutor;
use uuid::Uuid;

use super::Error;
use super::request_budgets::interval;
use crate::market::{ProviderName, Symbol, Timestamp};
use crate::price_event::{PriceEvent, RecordCoordinates};

/// What a claim found for one symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lease {
    /// The symbol is this holder's to fetch.
    Taken,
    /// Another holder is fetching it.
    Held,
    /// It was fetched and published recently enough.
    Fetched(PriceEvent),
}

/// Claims the fetch of each symbol, for `lease`. A quote that was polled at or after `accepts` is
/// returned instead.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn claim(
    executor: impl PgExecutor<'_>,
    provider: &ProviderName,
    symbols: &[Symbol],
    holder: Uuid,
    lease: Duration,
    accepts: Timestamp,
) -> Result<Vec<(Symbol, Lease)>, Error> {
    // Sorted, so that two claims of the same symbols lock their rows in the same order.
    let mut symbols: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();
    symbols.sort_unstable();

    let rows: Vec<(String, bool, Option<String>)> = sqlx::query_as(
        "with taken as (
             insert into fetch_leases as lease (provider, symbol, holder, lease_until)
             select $1, symbol, $3, clock_timestamp() + $4 from unnest($2::text[]) as wanted(symbol)
             on conflict (provider, symbol) do update
             set holder = excluded.holder, lease_until = excluded.lease_until
             where lease.lease_until <= clock_timestamp()
               and (lease.polled_at is null or lease.polled_at < $5)
             returning symbol
         )
         select wanted.symbol, taken.symbol is not null, lease.event
         from unnest($2::text[]) as wanted(symbol)
         left join taken on taken.symbol = wanted.symbol
         left join fetch_leases lease
                on lease.provider = $1 and lease.symbol = wanted.symbol and lease.polled_at >= $5",
    )
    .bind(provider.as_str())
    .bind(&symbols)
    .bind(holder)
    .bind(interval(lease))
    .bind(accepts)
    .fetch_all(executor)
    .await?;

    rows.into_iter()
        .map(|(symbol, taken, event)| {
            let symbol =
                Symbol::try_from(symbol).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            let lease = match event.as_deref().and_then(read) {
                _ if taken => Lease::Taken,
                Some(event) => Lease::Fetched(event),
                None => Lease::Held,
            };
            Ok((symbol, lease))
        })
        .collect()
}

/// Ends the leases of `holder` on these symbols, and leaves what was fetched and published to those
/// who wait for it.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn release(
    executor: impl PgExecutor<'_>,
    provider: &ProviderName,
    holder: Uuid,
    fetched: &[(Symbol, Option<PriceEvent>)],
) -> Result<(), Error> {
    let mut fetched: Vec<_> = fetched.iter().collect();
    fetched.sort_unstable_by_key(|(symbol, _)| symbol);

    let symbols: Vec<&str> = fetched.iter().map(|(symbol, _)| symbol.as_str()).collect();
    let events: Vec<Option<String>> = fetched
        .iter()
        .map(|(_, event)| event.as_ref().and_then(written))
        .collect();
    let times: Vec<Option<Timestamp>> = fetched
        .iter()
        .map(|(_, event)| event.as_ref().map(|event| event.polled_at))
        .collect();

    sqlx::query(
        "update fetch_leases lease
         set lease_until = '-infinity', event = coalesce(came.event, lease.event),
             polled_at = coalesce(came.polled_at, lease.polled_at)
         from unnest($2::text[], $4::text[], $5::timestamptz[]) as came(symbol, event, polled_at)
         where lease.provider = $1 and lease.symbol = came.symbol and lease.holder = $3",
    )
    .bind(provider.as_str())
    .bind(symbols)
    .bind(holder)
    .bind(events)
    .bind(times)
    .execute(executor)
    .await?;
    Ok(())
}

/// Deletes the leases that were not taken for an hour: a symbol that is asked for again gets a
/// new one. A lease that was released holds the time of its last fetch.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn delete_old(executor: impl PgExecutor<'_>) -> Result<u64, Error> {
    let deleted = sqlx::query(
        "delete from fetch_leases
         where greatest(lease_until, polled_at) < clock_timestamp() - interval '1 hour'",
    )
    .execute(executor)
    .await?;
    Ok(deleted.rows_affected())
}

fn written(event: &PriceEvent) -> Option<String> {
    event
        .encode()
        .ok()
        .and_then(|json| String::from_utf8(json).ok())
}

/// An event that [`written`] wrote. It names its own id and times, so where it was stored is not
/// asked.
fn read(text: &str) -> Option<PriceEvent> {
    let here = RecordCoordinates {
        topic: "",
        partition: 0,
        offset: 0,
        timestamp: None,
    };
    PriceEvent::decode(Some(text.as_bytes()), &here, chrono::Utc::now()).ok()
}
