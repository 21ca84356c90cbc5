//! The symbols of a job that are left out while their market is closed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::market::{Symbol, Timestamp, to_microseconds};
use crate::repository::Error;

/// Symbols whose market is closed, each with the time at which it is asked for again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClosedMarkets(BTreeMap<Symbol, Timestamp>);

impl ClosedMarkets {
    /// Leaves a symbol out until `reopens`, or asks for it again if there is no such time.
    pub fn set(&mut self, symbol: Symbol, reopens: Option<Timestamp>) {
        match reopens {
            Some(reopens) => self.0.insert(symbol, reopens),
            None => self.0.remove(&symbol),
        };
    }

    /// Whether a symbol is left out at `time`.
    #[must_use]
    pub fn leaves_out(&self, symbol: &Symbol, time: Timestamp) -> bool {
        self.0.get(symbol).is_some_and(|reopens| time < *reopens)
    }

    /// When the first of `symbols` is asked for again, if all of them are left out at `time`.
    #[must_use]
    pub fn closed_until(&self, symbols: &[Symbol], time: Timestamp) -> Option<Timestamp> {
        let reopens = |symbol| {
            self.0
                .get(symbol)
                .copied()
                .filter(|reopens| time < *reopens)
        };
        // Of no symbol at all there is no earliest time.
        let all: Option<Vec<Timestamp>> = symbols.iter().map(reopens).collect();
        all?.into_iter().min()
    }

    /// Writes the stored form, unless the job is no longer one that leaves symbols out, or polls
    /// other symbols since.
    pub(in crate::repository) async fn store(
        &self,
        connection: &mut PgConnection,
        job_id: Uuid,
        now: Timestamp,
    ) -> Result<(), Error> {
        let symbols: Option<Vec<String>> = sqlx::query_scalar(
            "select symbols from polling_jobs where job_id = $1 and market_hours",
        )
        .bind(job_id)
        .fetch_optional(&mut *connection)
        .await?;
        let symbols: Result<Vec<Symbol>, _> = symbols
            .unwrap_or_default()
            .into_iter()
            .map(Symbol::try_from)
            .collect();
        let Ok(symbols) = symbols else { return Ok(()) };

        // Only of symbols that the job still has, and that are left out yet.
        let closed = Self(
            self.0
                .iter()
                .filter(|(symbol, reopens)| now < **reopens && symbols.contains(symbol))
                .map(|(symbol, reopens)| (symbol.clone(), *reopens))
                .collect(),
        );
        let text =
            serde_json::to_string(&closed).map_err(|error| sqlx::Error::Encode(error.into()))?;

        sqlx::query(
            "update polling_jobs
             set closed_markets = nullif($2::text::jsonb, '{}'), closed_until = $3
             where job_id = $1 and market_hours",
        )
        .bind(job_id)
        .bind(text)
        .bind(closed.closed_until(&symbols, now).map(to_microseconds))
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Reads the stored form. What cannot be read leaves no symbol out.
    pub(in crate::repository) fn read(stored: Option<&str>) -> Self {
        stored
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_timestamp(second, 0).unwrap()
    }

    fn symbols(names: &[&str]) -> Vec<Symbol> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_job_is_closed_while_all_of_its_symbols_are_and_until_the_first_reopens() {
        let mut closed = ClosedMarkets::default();
        closed.set("AAPL".parse().unwrap(), Some(at(100)));
        closed.set("SAP.DE".parse().unwrap(), Some(at(50)));

        assert_eq!(
            closed.closed_until(&symbols(&["AAPL", "SAP.DE"]), at(49)),
            Some(at(50))
        );
        assert_eq!(
            closed.closed_until(&symbols(&["AAPL", "SAP.DE"]), at(50)),
            None
        );
        assert_eq!(
            closed.closed_until(&symbols(&["AAPL", "BTC-USD"]), at(0)),
            None
        );
        assert!(closed.leaves_out(&symbols(&["AAPL"])[0], at(50)));
    }
}
