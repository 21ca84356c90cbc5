//! The providers' responses, verbatim.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::Error;
use crate::market::{ProviderName, Symbol, Timestamp, to_microseconds};

/// A provider's response as it was received.
#[derive(Clone, Copy, Debug)]
pub struct RawResponse<'a> {
    /// The id that the price events read from it refer to.
    pub raw_response_id: Uuid,
    /// The provider that answered.
    pub provider: &'a ProviderName,
    /// The requested symbols.
    pub symbols: &'a [Symbol],
    /// When it was received: `polled_at` of its quotes.
    pub received_at: Timestamp,
    /// The body, unchanged except for NUL, which Postgres does not store.
    pub body: &'a str,
}

/// Stores one response. It is stored before the events read from it: a response without events is
/// harmless.
///
/// # Errors
/// When Postgres is unavailable or refuses the statement.
pub async fn insert(
    executor: impl PgExecutor<'_>,
    response: &RawResponse<'_>,
) -> Result<(), Error> {
    sqlx::query(
        "insert into raw_responses (received_at, raw_response_id, provider, symbols, body)
         values ($1, $2, $3, $4, $5)
         on conflict do nothing",
    )
    .bind(to_microseconds(response.received_at))
    .bind(response.raw_response_id)
    .bind(response.provider.as_str())
    .bind(
        response
            .symbols
            .iter()
            .map(Symbol::as_str)
            .collect::<Vec<_>>(),
    )
    .bind(response.body)
    .execute(executor)
    .await?;
    Ok(())
}
