//! Replays recorded prices at current times.
//!
//! Only the clock selects the row, so that functions without shared memory agree. Time is divided
//! into steps. Each step has the next recorded price of every symbol, and the first row follows the
//! last. A quote's time is the start of its step, and its provider is `replay`. The raw response
//! contains the time at which the price was recorded.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Answer, Limits, MarketHours, Provider, ProviderError};
use crate::market::{ProviderName, Quote, Symbol, Timestamp, to_microseconds};
use crate::price::Price;

mod tape;

use tape::{Row, TAPE};

/// Most symbols in one request, as many as one job may poll.
const MAX_SYMBOLS: u32 = 500;

/// The provider `replay`.
#[derive(Clone, Debug)]
pub struct Replay {
    name: ProviderName,
    step_seconds: i64,
}

/// The raw response of a replay: the recorded rows that were used.
#[derive(Serialize)]
struct Played<'a> {
    provider: &'a ProviderName,
    step_seconds: i64,
    step: i64,
    rows: Vec<PlayedRow<'a>>,
}

#[derive(Serialize)]
struct PlayedRow<'a> {
    symbol: &'a Symbol,
    recorded_at: &'static str,
    source_field: &'static str,
    price: Price,
}

impl Replay {
    /// A replay in which each price lasts for `step`, in whole seconds and at least one.
    #[must_use]
    pub fn new(step: Duration) -> Self {
        let step_seconds = i64::try_from(step.as_secs()).unwrap_or(i64::MAX).max(1);
        Self {
            name: super::name(super::REPLAY),
            step_seconds,
        }
    }

    /// The quote of a row, at the start of its step.
    fn quote(&self, symbol: &Symbol, row: &Row, step: i64) -> Result<Quote, ProviderError> {
        let start = step
            .checked_mul(self.step_seconds)
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0));

        let timestamp = start.ok_or_else(|| ProviderError::NoPrice {
            symbol: symbol.clone(),
            provider: self.name.clone(),
            reason: "the time asked for is out of range".to_owned(),
        })?;

        Ok(Quote {
            symbol: symbol.clone(),
            price: row.price,
            currency: Some(row.currency.clone()),
            timestamp,
        })
    }
}

#[async_trait]
impl Provider for Replay {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn is_remote(&self) -> bool {
        false
    }

    fn limits(&self) -> Limits {
        Limits::unlimited(MAX_SYMBOLS)
    }

    fn market_hours(&self) -> MarketHours {
        MarketHours::AlwaysOpen
    }

    async fn fetch(&self, symbols: &[Symbol], at: Timestamp) -> Result<Answer, ProviderError> {
        let step = at.timestamp().div_euclid(self.step_seconds);

        let mut quotes = Vec::with_capacity(symbols.len());
        let mut rows = Vec::new();
        for symbol in symbols {
            let Some(row) = tape::row_at(&TAPE, symbol, step) else {
                let (symbol, provider) = (symbol.clone(), self.name.clone());
                quotes.push((
                    symbol.clone(),
                    Err(ProviderError::UnknownSymbol { symbol, provider }),
                ));
                continue;
            };

            let (recorded_at, source_field) = (row.recorded_at, row.source_field);
            rows.push(PlayedRow {
                symbol,
                recorded_at,
                source_field,
                price: row.price,
            });
            quotes.push((symbol.clone(), self.quote(symbol, row, step)));
        }

        let played = Played {
            provider: &self.name,
            step_seconds: self.step_seconds,
            step,
            rows,
        };
        let body = serde_json::to_string(&played).map_err(|error| ProviderError::Malformed {
            provider: self.name.clone(),
            reason: error.to_string(),
        })?;

        Ok(Answer {
            received_at: to_microseconds(Utc::now()),
            requests: 1,
            body,
            quotes,
        })
    }
}

#[cfg(test)]
mod tests;
