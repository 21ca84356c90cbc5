//! Binance, through its host for market data: crypto-currencies, many per request, without a key.
//!
//! The answer has no time: the quote's is the time of asking. One unknown symbol makes the answer
//! for a whole list an error that does not name it; then all symbols there are are requested.

use reqwest::Url;
use serde::Deserialize;

use super::web::fields::{self, Field};
use super::web::{Api, Fault, Found, Received, Request, is_name, tolerant, url};
use super::{LimitScope, Limits, MarketHours, Refusal};
use crate::config::Secret;
use crate::market::{Currency, Quote, Symbol};

/// A weight of 6,000 a minute from one address. A list of prices weighs 4 at any length.
pub(crate) const LIMITS: Limits = Limits {
    per_minute: Some(1_500),
    max_concurrent: 8,
    ..Limits::unlimited(100)
};

/// The units in which pairs are priced, as they end a symbol; the longer ones first.
const UNITS: [&str; 19] = [
    "FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USD1", "DAI", "BTC", "ETH", "BNB", "EUR", "GBP",
    "TRY", "BRL", "JPY", "ARS", "MXN", "ZAR", "PLN",
];

/// The API of Binance.
#[derive(Debug)]
pub(super) struct Binance;

#[derive(Deserialize)]
struct Problem<'a> {
    #[serde(borrow)]
    code: Field<'a>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    price: Field<'a>,
}

/// The symbol of an entry, read separately, so that other fields cannot make it unreadable.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    symbol: Field<'a>,
}

impl Api for Binance {
    fn market_hours(&self) -> MarketHours {
        MarketHours::AlwaysOpen
    }

    fn may_exist(&self, symbol: &str) -> bool {
        is_name(symbol, b"-_.")
    }

    fn request(&self, base: &Url, _: Option<&Secret>, symbols: &[&Symbol]) -> Request {
        let symbols: Vec<String> = symbols
            .iter()
            .map(|symbol| format!("\"{symbol}\""))
            .collect();

        let mut url = url(base, ["api", "v3", "ticker", "price"]);
        url.query_pairs_mut()
            .append_pair("symbols", &format!("[{}]", symbols.join(",")));
        Request::to(url)
    }

    fn everything(&self, base: &Url) -> Option<Request> {
        let url = url(base, ["api", "v3", "ticker", "price"]);
        Some(Request::to(url))
    }

    fn read(&self, received: &Received, _: &[&Symbol]) -> Result<Found, Fault> {
        if let Some(fault) = told(received) {
            return Err(fault);
        }
        match Fault::of_status_without_key(received) {
            Some(Fault::RateLimited { scope: None, .. }) => {
                return Err(Fault::limited(received, LimitScope::Minute));
            }
            Some(fault) => return Err(fault),
            None => {}
        }

        let entries = tolerant::list(&received.body).ok_or_else(Fault::shape)?;
        let mut found = Found::default();
        for text in entries {
            let named = serde_json::from_str::<Named<'_>>(text).ok();
            let Some(symbol) = named.and_then(|named| fields::symbol(named.symbol)) else {
                found.add_nameless();
                continue;
            };

            let entry = serde_json::from_str::<Entry<'_>>(text);
            let quote = entry.map_or_else(
                |_| Err(Fault::entry(&symbol)),
                |entry| entry.quote(&symbol, received),
            );
            found.add(&symbol, quote);
        }

        Ok(found)
    }
}

/// The fault that the answer's code tells.
fn told(received: &Received) -> Option<Fault> {
    let problem = serde_json::from_str::<Problem<'_>>(&received.body).ok()?;

    Some(match fields::whole(problem.code)? {
        -1121 | -1100 => Fault::Unknown,
        -1003 | -1015 if received.status == 418 => Fault::limited(received, LimitScope::Address),
        -1003 | -1015 => Fault::limited(received, LimitScope::Minute),
        -1002 | -2015 => Fault::NotAllowed(Refusal::Blocked),
        // Answers to addresses in some countries have the code 0.
        0 if received.status == 451 => Fault::NotAllowed(Refusal::Blocked),
        // Its servers are busy, late, or being stopped.
        -1000 | -1001 | -1008..=-1006 | -1016 => {
            Fault::Unavailable("its service is down or busy".to_owned())
        }
        code => Fault::reported_as(code),
    })
}

/// The unit in which a pair is priced, which ends its symbol.
fn unit(symbol: &Symbol) -> Option<Currency> {
    let is_pair = |unit: &&str| {
        let base = symbol.as_str().strip_suffix(unit);
        base.is_some_and(|base| !base.is_empty())
    };
    UNITS.into_iter().find(is_pair)?.parse().ok()
}

impl Entry<'_> {
    fn quote(&self, symbol: &Symbol, received: &Received) -> Result<Quote, Fault> {
        Ok(Quote {
            symbol: symbol.clone(),
            price: fields::price(self.price)?,
            currency: unit(symbol),
            timestamp: received.asked_at,
        })
    }
}
