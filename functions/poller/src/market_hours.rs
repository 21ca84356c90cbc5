//! Which symbols of a job with market hours are left out, because their market is closed. The
//! provider's answers decide.

use std::collections::{BTreeMap, HashMap, HashSet};

use shared::acquisition::{Acquired, Loss, Wish, acquire};
use shared::market::{Symbol, Timestamp, Trading, TradingPeriod, is_recent};
use shared::price_event::PriceEvent;
use shared::provider::{MarketHours, Provider};
use shared::repository::polling_jobs::ClosedMarkets;
use shared::repository::polling_runs::Claim;

use crate::course::{ClaimedCourse, Stop};
use crate::poll::Poll;
use crate::{FiringError, Poller};

/// Most requests of one poll that only ask when an exchange trades. Further exchanges are asked for
/// in the next polls.
const MOST_REQUESTS: usize = 5;

/// When the symbols of a poll trade, as its answers say.
#[derive(Debug, Default)]
pub(crate) struct Markets(BTreeMap<Symbol, Market>);

#[derive(Clone, Debug, Default)]
struct Market {
    trading: Trading,
    newest_quote: Option<Timestamp>,
}

impl Markets {
    /// Adds the trading periods and the quotes of one answer.
    pub(crate) fn note(
        &mut self,
        trading: &[(Symbol, Trading)],
        quotes: &[(Symbol, Result<PriceEvent, Loss>)],
    ) {
        for (symbol, told) in trading {
            let market = self.0.entry(symbol.clone()).or_default();
            market.trading.period = told.period.or(market.trading.period);
            market.trading.exchange = told.exchange.clone().or(market.trading.exchange.take());
        }

        for (symbol, quote) in quotes {
            if let (Some(market), Ok(event)) = (self.0.get_mut(symbol), quote) {
                market.newest_quote = Some(event.timestamp);
            }
        }
    }

    /// The known period of each exchange.
    fn periods(&self) -> HashMap<&str, TradingPeriod> {
        let markets = self.0.values().map(|market| &market.trading);
        let known = markets.filter_map(|told| Some((told.exchange.as_deref()?, told.period?)));
        known.collect()
    }

    /// One symbol of each exchange whose period is not known, and that has a symbol without a
    /// recent quote. An exchange whose quotes are recent counts as open, also outside its period.
    fn unclear(&self, now: Timestamp) -> Vec<Symbol> {
        let periods = self.periods();
        let mut seen = HashSet::new();

        let of_exchange = self.0.iter().filter(|(_, market)| {
            let is_stale = !market
                .newest_quote
                .is_some_and(|quoted| is_recent(quoted, now));
            let exchange = market.trading.exchange.as_deref();
            let is_known = market.trading.period.is_some()
                || exchange.is_some_and(|exchange| periods.contains_key(exchange));
            is_stale && !is_known && exchange.is_none_or(|exchange| seen.insert(exchange))
        });
        of_exchange.map(|(symbol, _)| symbol.clone()).collect()
    }

    /// Which of a job's `symbols` are left out after this poll, in addition to those that were left
    /// out of it.
    pub(crate) fn closed(
        &self,
        symbols: &[Symbol],
        before: &ClosedMarkets,
        now: Timestamp,
    ) -> ClosedMarkets {
        let periods = self.periods();
        let mut closed = before.clone();

        let markets = symbols
            .iter()
            .filter_map(|symbol| self.0.get_key_value(symbol));
        for (symbol, market) in markets {
            let Market {
                trading: Trading { exchange, period },
                newest_quote,
            } = market;
            let of_exchange = || periods.get(exchange.as_deref()?).copied();
            let period = period.or_else(of_exchange);
            let reopens = period.and_then(|period| period.closed_until(*newest_quote, now));
            closed.set(symbol.clone(), reopens);
        }
        closed
    }
}

impl Poller {
    /// Asks for the trading periods that the answers so far lack: an answer about a single symbol
    /// contains more than one about a list. If that fails, the exchanges count as open.
    pub(crate) async fn ask_when_they_trade(
        &self,
        provider: &dyn Provider,
        poll: &mut Poll<'_>,
    ) -> Result<(), FiringError> {
        let with_hours = poll.ticks.iter().filter(|tick| tick.job.market_hours);
        let claims: Vec<Claim> = with_hours.clone().map(|tick| tick.claim).collect();
        let (Some(first), MarketHours::Told) = (claims.first(), provider.market_hours()) else {
            return Ok(());
        };
        let at = first.tick_time;

        let asked: HashSet<&Symbol> = with_hours.flat_map(|tick| &tick.job.symbols).collect();
        let mut unclear = poll.markets.unclear(self.clock.now());
        unclear.retain(|symbol| asked.contains(symbol));

        for symbol in unclear.into_iter().take(MOST_REQUESTS) {
            let now = self.clock.now();
            if self.stopping.is_cancelled() || now > poll.limits.last_start {
                break;
            }

            let claims = claims.clone();
            let course = ClaimedCourse::new(self, claims, provider.name(), poll.limits, now);
            // A shared quote would not do: only an answer of the provider has the trading period.
            let wish = Wish { at, accepts: None };
            match acquire(&course, &self.instance, provider, &[symbol], wish).await {
                Ok(Acquired {
                    failure: None,
                    trading,
                    ..
                }) => poll.markets.note(&trading, &[]),
                // Recording the runs finds out whose claims are lost.
                Ok(_) | Err(Stop::ClaimsLost) => break,
                Err(Stop::Failed(error)) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_timestamp(1_780_000_000 + hour * 3_600, 0).unwrap()
    }

    fn symbol(name: &str) -> Symbol {
        name.parse().unwrap()
    }

    fn trading(exchange: &str, period: Option<(i64, i64)>) -> Trading {
        Trading {
            exchange: Some(exchange.to_owned()),
            period: period.and_then(|(opens, closes)| TradingPeriod::new(at(opens), at(closes))),
        }
    }

    fn markets(told: &[(&str, Trading)], newest_quote: Timestamp) -> Markets {
        let market = |(name, trading): &(&str, Trading)| {
            let market = Market {
                trading: trading.clone(),
                newest_quote: Some(newest_quote),
            };
            (symbol(name), market)
        };
        Markets(told.iter().map(market).collect())
    }

    #[test]
    fn one_symbol_of_each_exchange_is_asked_for_unless_its_quotes_are_recent() {
        let told = [
            ("AAPL", trading("NMS", None)),
            ("MSFT", trading("NMS", None)),
            ("SAP.DE", trading("GER", None)),
            ("OCDO.L", trading("LSE", Some((8, 16)))),
            ("VOD.L", trading("LSE", None)),
        ];

        let stale = markets(&told, at(0));
        assert_eq!(
            stale.unclear(at(20)),
            [symbol("AAPL"), symbol("SAP.DE")],
            "the period of the LSE is known"
        );
        assert_eq!(markets(&told, at(20)).unclear(at(20)), Vec::<Symbol>::new());
    }

    #[test]
    fn the_symbols_of_an_exchange_share_its_period_and_unknown_ones_stay_open() {
        let told = [
            ("AAPL", trading("NMS", Some((30, 36)))),
            ("MSFT", trading("NMS", None)),
            ("NVDA", trading("NMS", None)),
            ("SAP.DE", trading("GER", None)),
        ];
        let mut before = ClosedMarkets::default();
        before.set(symbol("SAP.DE"), Some(at(19)));
        before.set(symbol("VOD.L"), Some(at(40)));

        let own = ["AAPL", "SAP.DE", "MSFT"].map(symbol);
        let closed = markets(&told, at(0)).closed(&own, &before, at(20));
        let left_out = |name| closed.leaves_out(&symbol(name), at(29));
        assert!(left_out("AAPL") && left_out("MSFT"));
        assert!(!left_out("NVDA"), "it is another job's");
        assert!(!left_out("SAP.DE"), "its answer told no period");
        assert!(left_out("VOD.L"), "it was not asked for");
        assert!(!closed.leaves_out(&symbol("AAPL"), at(30)));
    }
}
