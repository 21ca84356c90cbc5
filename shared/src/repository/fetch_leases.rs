//! Leases on fetches: who fetches which quote at this moment, and what came of the last fetch.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

use super::Error;
use super::request_budgets::interval;
use crate::market::{ProviderName, Symbol, Timestamp};
use crate::price_event::{CLOCK_TOLERANCE, PriceEvent, RecordCoordinates};
use crate::provider::ProviderError;

mod failure;

/// How long a failure is reported to those who were waiting. Later callers ask the provider again.
/// Waiting callers read it ten times a second, but a busy server may take longer to answer.
const FAILURE_AGE: Duration = Duration::from_secs(10);

/// What a claim found for one symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lease {
    /// The symbol is this holder's to fetch.
    Granted,
    /// Another holder is fetching it.
    Elsewhere,
    /// It was fetched and published recently enough.
    Fetched(PriceEvent),
    /// The fetch for which this claimer was waiting has failed.
    Failed(ProviderError),
}

/// A wish to fetch symbols from a provider.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The provider.
    pub provider: &'a ProviderName,
    /// Who claims.
    pub holder: Uuid,
    /// How long the holder has the symbols to itself.
    pub lease: Duration,
    /// A quote that was polled at or after this moment is returned instead.
    pub accepts: Timestamp,
    /// When the claimer began to wait for other holders, by Postgres's clock. A failure since then
    /// is returned instead.
    pub waiting_since: Option<Timestamp>,
}

#[derive(FromRow)]
struct Claimed {
    symbol: String,
    granted: bool,
    event: Option<String>,
    failure: Option<String>,
    claimed_at: Timestamp,
}

/// Claims the fetch of each symbol. Returns what was found for each, and Postgres's time.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn claim(
    executor: impl PgExecutor<'_>,
    claim: &Claim<'_>,
    symbols: &[Symbol],
) -> Result<(HashMap<Symbol, Lease>, Option<Timestamp>), Error> {
    let symbols: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();

    // Two claims, or a claim and a release, may want the same rows. Where one has to wait for the
    // other, both take the rows in the same order, that of the symbols' bytes: otherwise each could
    // wait for the other. A row that is locked is being claimed or released, so it is not waited
    // for. A lease that ends later than any can was written by a clock that was wrong then.
    let rows: Vec<Claimed> = sqlx::query_as(
        "with free as (
             select symbol from fetch_leases
             where provider = $1 and symbol = any($2)
               and (lease_until <= clock_timestamp() or lease_until > clock_timestamp() + $4)
               and not coalesce(polled_at between $5 and clock_timestamp() + $8, false)
               and not coalesce(failed_at between $6 and clock_timestamp()
                                and failed_at > clock_timestamp() - $7, false)
             for update skip locked
         ), taken_over as (
             update fetch_leases lease set holder = $3, lease_until = clock_timestamp() + $4
             from free where lease.provider = $1 and lease.symbol = free.symbol
             returning lease.symbol
         ), added as (
             insert into fetch_leases (provider, symbol, holder, lease_until)
             select $1, symbol, $3, clock_timestamp() + $4
             from unnest($2::text[]) as wanted(symbol)
             where not exists (
                 select from fetch_leases known
                 where known.provider = $1 and known.symbol = wanted.symbol
             )
             order by symbol collate \"C\"
             on conflict (provider, symbol) do nothing
             returning symbol
         ), granted as (
             select symbol from taken_over union all select symbol from added
         )
         select wanted.symbol, granted.symbol is not null as granted,
                case when lease.polled_at between $5 and clock_timestamp() + $8
                     then lease.event end as event,
                case when lease.failed_at between $6 and clock_timestamp()
                      and lease.failed_at > clock_timestamp() - $7
                     then lease.failure end as failure,
                clock_timestamp() as claimed_at
         from unnest($2::text[]) as wanted(symbol)
         left join granted on granted.symbol = wanted.symbol
         left join fetch_leases lease on lease.provider = $1 and lease.symbol = wanted.symbol",
    )
    .bind(claim.provider.as_str())
    .bind(&symbols)
    .bind(claim.holder)
    .bind(interval(claim.lease))
    .bind(claim.accepts)
    .bind(claim.waiting_since)
    .bind(interval(FAILURE_AGE))
    .bind(CLOCK_TOLERANCE)
    .fetch_all(executor)
    .await?;

    let claimed_at = rows.first().map(|row| row.claimed_at);
    let leases: Result<_, sqlx::Error> = rows
        .into_iter()
        .map(|row| row.lease(claim.provider))
        .collect();
    Ok((leases?, claimed_at))
}

impl Claimed {
    fn lease(self, provider: &ProviderName) -> Result<(Symbol, Lease), sqlx::Error> {
        let symbol = Symbol::try_from(self.symbol);
        let symbol = symbol.map_err(|error| sqlx::Error::Decode(Box::new(error)))?;

        let event = || self.event.as_deref().and_then(read);
        let failure = || {
            let failure = self.failure.as_deref()?;
            failure::read(failure, provider, &symbol)
        };
        let lease = if self.granted {
            Lease::Granted
        } else if let Some(event) = event() {
            Lease::Fetched(event)
        } else {
            failure().map_or(Lease::Elsewhere, Lease::Failed)
        };
        Ok((symbol, lease))
    }
}

/// Begins the leases of `claim` on these symbols anew. One that another holder took over stays that
/// holder's, and one that was released stays free. A row that is locked is left out: it is being
/// taken over or released.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn renew(
    executor: impl PgExecutor<'_>,
    claim: &Claim<'_>,
    symbols: &[Symbol],
) -> Result<(), Error> {
    let symbols: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();

    sqlx::query(
        "with held as (
             select symbol from fetch_leases
             where provider = $1 and symbol = any($2) and holder = $3
               and lease_until > '-infinity'
             for update skip locked
         )
         update fetch_leases lease set lease_until = clock_timestamp() + $4
         from held where lease.provider = $1 and lease.symbol = held.symbol",
    )
    .bind(claim.provider.as_str())
    .bind(symbols)
    .bind(claim.holder)
    .bind(interval(claim.lease))
    .execute(executor)
    .await?;
    Ok(())
}

/// What came of the fetch of one symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was published.
    Published(PriceEvent),
    /// The provider failed.
    Failed(ProviderError),
    /// It ended for a reason of the holder's own.
    Ended,
}

/// Ends the leases of `holder` on these symbols, and leaves what came of the fetches to those who
/// wait for it.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn release(
    executor: impl PgExecutor<'_>,
    provider: &ProviderName,
    holder: Uuid,
    outcomes: &[(Symbol, Outcome)],
) -> Result<(), Error> {
    let symbols: Vec<&str> = outcomes.iter().map(|(symbol, _)| symbol.as_str()).collect();
    let published = |outcome: &Outcome| match outcome {
        Outcome::Published(event) => Some((written(event)?, event.polled_at)),
        Outcome::Failed(_) | Outcome::Ended => None,
    };
    let (events, times): (Vec<Option<String>>, Vec<Option<Timestamp>>) = outcomes
        .iter()
        .map(|(_, outcome)| published(outcome).unzip())
        .unzip();
    let failures: Vec<Option<String>> = outcomes
        .iter()
        .map(|(_, outcome)| match outcome {
            Outcome::Failed(error) => failure::written(error),
            Outcome::Published(_) | Outcome::Ended => None,
        })
        .collect();

    // Locked in the order in which claims insert. An update alone locks in the order of its plan.
    sqlx::query(
        "with locked as (
             select symbol from fetch_leases
             where provider = $1 and symbol = any($2) and holder = $3
             order by symbol collate \"C\"
             for update
         )
         update fetch_leases lease
         set lease_until = '-infinity', event = coalesce(came.event, lease.event),
             polled_at = coalesce(came.polled_at, lease.polled_at), failure = came.failure,
             failed_at = case when came.failure is not null then clock_timestamp() end
         from unnest($2::text[], $4::text[], $5::timestamptz[], $6::text[])
                  as came(symbol, event, polled_at, failure), locked
         where lease.provider = $1 and lease.symbol = came.symbol and lease.symbol = locked.symbol",
    )
    .bind(provider.as_str())
    .bind(symbols)
    .bind(holder)
    .bind(events)
    .bind(times)
    .bind(failures)
    .execute(executor)
    .await?;
    Ok(())
}

/// Deletes the leases that were not taken for an hour: a symbol that is asked for again gets a
/// new one. A lease that was released holds the time of its last fetch. One that is being claimed
/// stays, and is not waited for.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn delete_old(executor: impl PgExecutor<'_>) -> Result<u64, Error> {
    let deleted = sqlx::query(
        "delete from fetch_leases using (
             select provider, symbol from fetch_leases
             where greatest(lease_until, polled_at) < clock_timestamp() - interval '1 hour'
             for update skip locked
         ) as old
         where fetch_leases.provider = old.provider and fetch_leases.symbol = old.symbol",
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
