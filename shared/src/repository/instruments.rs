//! How providers spell our symbols.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgExecutor, Row};

use super::Error;
use crate::market::{NameError, ProviderName, Symbol};

/// How a provider spells one of our symbols.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instrument {
    /// Our symbol, in upper case.
    pub symbol: Symbol,
    /// The provider.
    pub provider: ProviderName,
    /// The provider's symbol.
    pub spelling: Symbol,
}

/// The spellings of one provider, in no particular order.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn of_provider(
    executor: impl PgExecutor<'_>,
    provider: &ProviderName,
) -> Result<Vec<Instrument>, Error> {
    let rows =
        sqlx::query("select symbol, provider, spelling from instruments where provider = $1")
            .bind(provider.as_str())
            .fetch_all(executor)
            .await?;

    rows.iter().map(instrument).collect()
}

/// All spellings, by symbol and provider.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<Instrument>, Error> {
    let rows =
        sqlx::query("select symbol, provider, spelling from instruments order by symbol, provider")
            .fetch_all(executor)
            .await?;

    rows.iter().map(instrument).collect()
}

/// Adds these spellings, and changes those that are there. Each (symbol, provider) may occur once.
/// Returns how many differ from what was stored.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn put(executor: impl PgExecutor<'_>, instruments: &[Instrument]) -> Result<u64, Error> {
    let column = |of: fn(&Instrument) -> &str| instruments.iter().map(of).collect::<Vec<_>>();

    let done = sqlx::query(
        "insert into instruments (symbol, provider, spelling)
         select * from unnest($1::text[], $2::text[], $3::text[])
         on conflict (provider, symbol) do update set spelling = excluded.spelling
         where instruments.spelling <> excluded.spelling",
    )
    .bind(column(|instrument| instrument.symbol.as_str()))
    .bind(column(|instrument| instrument.provider.as_str()))
    .bind(column(|instrument| instrument.spelling.as_str()))
    .execute(executor)
    .await?;

    Ok(done.rows_affected())
}

/// Removes all spellings but these, in the transaction of `connection`. Returns how many.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn remove_others(
    connection: &mut PgConnection,
    instruments: &[Instrument],
) -> Result<u64, Error> {
    let column = |of: fn(&Instrument) -> &str| instruments.iter().map(of).collect::<Vec<_>>();

    let done = sqlx::query(
        "delete from instruments i
         where not exists (
             select from unnest($1::text[], $2::text[]) as kept (symbol, provider)
             where kept.symbol = i.symbol and kept.provider = i.provider)",
    )
    .bind(column(|instrument| instrument.symbol.as_str()))
    .bind(column(|instrument| instrument.provider.as_str()))
    .execute(connection)
    .await?;

    Ok(done.rows_affected())
}

fn instrument(row: &PgRow) -> Result<Instrument, Error> {
    let invalid = |error: NameError| sqlx::Error::Decode(Box::new(error));
    let (symbol, provider, spelling): (&str, &str, &str) = (
        row.try_get("symbol")?,
        row.try_get("provider")?,
        row.try_get("spelling")?,
    );

    Ok(Instrument {
        symbol: symbol.parse().map_err(invalid)?,
        provider: provider.parse().map_err(invalid)?,
        spelling: spelling.parse().map_err(invalid)?,
    })
}
