//! What the providers answered, word for word.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::Error;
use crate::market::{ProviderName, Symbol, Timestamp, to_microseconds};

/// A provider's response as it came.
#[derive(Clone, Copy, Debug)]
pub struct RawResponse<'a> {
    /// Named by the price events that were read from it.
    pub raw_response_id: Uuid,
    /// Who answered.
    pub provider: &'a ProviderName,
    /// What was asked for.
    pub symbols: &'a [Symbol],
    /// When it had arrived: `polled_at` of its quotes.
    pub received_at: Timestamp,
    /// The body, unchanged; without NUL, which Postgres refuses.
    pub body: &'a str,
}

/// Keeps one response. It comes before the events read from it: a response without events is harmless.
///
/// # Errors
/// When Postgres is away or refuses.
pub async fn insert(executor: impl PgExecutor<'_>, response: &RawResponse<'_>) -> Result<(), Error> {
    sqlx::query(
        "insert into raw_responses (received_at, raw_response_id, provider, symbols, body)
         values ($1, $2, $3, $4, $5)
         on conflict do nothing",
    )
    .bind(to_microseconds(response.received_at))
    .bind(response.raw_response_id)
    .bind(response.provider.as_str())
    .bind(response.symbols.iter().map(Symbol::as_str).collect::<Vec<_>>())
    .bind(response.body)
    .execute(executor)
    .await?;
    Ok(())
}
