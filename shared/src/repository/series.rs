//! Reads the newest point of each series, with its average.

use rust_decimal::Decimal;
use sqlx::postgres::PgRow;
use sqlx::{PgExecutor, Row};

use super::Error;
use crate::exact_decimal::ExactDecimal;
use crate::market::{Currency, NameError, ProviderList, ProviderName, Symbol, Timestamp};
use crate::price::Price;

/// A series with its newest point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Key of the series' points.
    pub series_id: i32,
    /// The symbol that is priced.
    pub symbol: Symbol,
    /// The provider that quotes it.
    pub provider: ProviderName,
    /// Market time of the newest point.
    pub timestamp: Timestamp,
    /// When the newest point was last polled.
    pub polled_at: Timestamp,
    /// The price of the newest point, in units of `currency`.
    pub price: Price,
    /// Unit of the price; `None` if it is unknown.
    pub currency: Option<Currency>,
    /// Average of the newest point and of up to four points before it that have the same unit
    /// without a break.
    pub moving_average: ExactDecimal,
    /// The number of points in the average.
    pub points: u8,
}

/// Position in the list of all series: the last one returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesKey {
    /// Symbol of the series.
    pub symbol: Symbol,
    /// Provider of the series.
    pub provider: ProviderName,
}

/// The series of `symbols` at these providers, in no particular order. Series without a point are
/// omitted.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn of_providers(
    executor: impl PgExecutor<'_>,
    symbols: &[Symbol],
    providers: &[ProviderName],
) -> Result<Vec<Series>, Error> {
    let rows = sqlx::query(
        "select series_id, symbol, provider, last_at, last_polled_at, last_price, last_currency, last_average, last_points
         from series
         where symbol = any($1) and provider = any($2) and last_at is not null",
    )
    .bind(symbols.iter().map(Symbol::as_str).collect::<Vec<_>>())
    .bind(providers.iter().map(ProviderName::as_str).collect::<Vec<_>>())
    .fetch_all(executor)
    .await?;
    rows.iter().map(read).collect()
}

/// Finds one series of a symbol, in the given spelling if it exists, otherwise in upper case. With
/// a `provider`, only its series counts. Without one, the series of the first of the `preferred`
/// providers that has one is returned or, if there is none, the one polled last.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn find(
    executor: impl PgExecutor<'_>,
    symbol: &Symbol,
    provider: Option<&ProviderName>,
    preferred: &ProviderList,
) -> Result<Option<Series>, Error> {
    let row = sqlx::query(
        "select series_id, symbol, provider, last_at, last_polled_at, last_price, last_currency, last_average, last_points
         from series
         where symbol in ($1, $4) and ($2::text is null or provider = $2) and last_at is not null
         order by symbol = $1 desc, array_position($3::text[], provider), last_polled_at desc, provider
         limit 1",
    )
    .bind(symbol.as_str())
    .bind(provider.map(ProviderName::as_str))
    .bind(preferred.iter().map(ProviderName::as_str).collect::<Vec<_>>())
    .bind(symbol.to_upper_case().as_str())
    .fetch_optional(executor)
    .await?;
    row.as_ref().map(read).transpose()
}

/// The first series from this id on, of the symbol and the provider, if given.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub(super) async fn first_from(
    executor: impl PgExecutor<'_>,
    series_id: i32,
    symbol: Option<&Symbol>,
    provider: Option<&ProviderName>,
) -> Result<Option<Series>, Error> {
    let row = sqlx::query(
        "select series_id, symbol, provider, last_at, last_polled_at, last_price, last_currency, last_average, last_points
         from series
         where series_id >= $1 and last_at is not null
           and ($2::text is null or symbol = $2) and ($3::text is null or provider = $3)
         order by series_id
         limit 1",
    )
    .bind(series_id)
    .bind(symbol.map(Symbol::as_str))
    .bind(provider.map(ProviderName::as_str))
    .fetch_optional(executor)
    .await?;
    row.as_ref().map(read).transpose()
}

/// Which series to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Those whose symbols begin so, in this spelling or in upper case.
    pub prefix: Option<Symbol>,
    /// Those of this provider.
    pub provider: Option<ProviderName>,
}

/// A series with what is known of all its points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSeries {
    /// The series with its newest point.
    pub series: Series,
    /// The points; `None` if they are not counted yet.
    pub counted: Option<Counted>,
}

/// All points of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Their number.
    pub points: u64,
    /// Market time of the oldest one.
    pub first: Timestamp,
}

/// Up to `limit` series after `after`, by symbol and provider. It reads no points.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn list(
    executor: impl PgExecutor<'_>,
    selection: &Selection,
    after: Option<&SeriesKey>,
    limit: i64,
) -> Result<Vec<ListedSeries>, Error> {
    let rows = sqlx::query(
        "select series_id, symbol, provider, last_at, last_polled_at, last_price, last_currency, last_average, last_points,
                point_count, first_at
         from series
         where ($1::text is null or (symbol, provider) > ($1, $2)) and last_at is not null
           and ($4::text is null or starts_with(symbol, $4) or starts_with(symbol, $5))
           and ($6::text is null or provider = $6)
         order by symbol, provider
         limit $3",
    )
    .bind(after.map(|key| key.symbol.as_str()))
    .bind(after.map(|key| key.provider.as_str()))
    .bind(limit)
    .bind(selection.prefix.as_ref().map(Symbol::as_str))
    .bind(selection.prefix.as_ref().map(|prefix| prefix.to_upper_case().as_str().to_owned()))
    .bind(selection.provider.as_ref().map(ProviderName::as_str))
    .fetch_all(executor)
    .await?;
    rows.iter().map(read_listed).collect()
}

/// Whether any series with a point is quoted by `provider`, which may be a foreign producer that
/// the pipeline cannot poll.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn has_provider(
    executor: impl PgExecutor<'_>,
    provider: &ProviderName,
) -> Result<bool, Error> {
    let exists = sqlx::query_scalar(
        "select exists (select from series where provider = $1 and last_at is not null)",
    )
    .bind(provider.as_str())
    .fetch_one(executor)
    .await?;
    Ok(exists)
}

/// Checks that Postgres answers and has a schema, of any version.
///
/// # Errors
/// When it does not.
pub async fn check(executor: impl PgExecutor<'_>) -> Result<(), Error> {
    sqlx::query("select from series limit 1")
        .fetch_optional(executor)
        .await?;
    Ok(())
}

fn read_listed(row: &PgRow) -> Result<ListedSeries, Error> {
    let count: Option<i64> = row.try_get("point_count")?;
    let first: Option<Timestamp> = row.try_get("first_at")?;
    let counted = count.zip(first).map(|(points, first)| {
        Ok::<_, Error>(Counted {
            points: points.try_into().map_err(unreadable)?,
            first,
        })
    });

    Ok(ListedSeries {
        series: read(row)?,
        counted: counted.transpose()?,
    })
}

fn read(row: &PgRow) -> Result<Series, Error> {
    Ok(Series {
        series_id: row.try_get("series_id")?,
        symbol: name(row.try_get("symbol")?)?,
        provider: name(row.try_get("provider")?)?,
        timestamp: row.try_get("last_at")?,
        polled_at: row.try_get("last_polled_at")?,
        price: price(row.try_get("last_price")?)?,
        currency: row
            .try_get::<Option<String>, _>("last_currency")?
            .map(name)
            .transpose()?,
        moving_average: row.try_get("last_average")?,
        points: points(row.try_get("last_points")?)?,
    })
}

pub(super) fn name<T: TryFrom<String, Error = NameError>>(text: String) -> Result<T, Error> {
    text.try_into().map_err(unreadable)
}

pub(super) fn price(value: Decimal) -> Result<Price, Error> {
    value.try_into().map_err(unreadable)
}

pub(super) fn points(count: i16) -> Result<u8, Error> {
    count.try_into().map_err(unreadable)
}

/// The error of a stored value that breaks the rules of the domain, such as one written by hand.
fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Rejected(sqlx::Error::Decode(Box::new(error)))
}
