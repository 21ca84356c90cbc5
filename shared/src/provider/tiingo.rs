//! Tiingo's IEX feed: US stocks and funds, many per request, with the key in a header.
//!
//! The price is Tiingo's own last one, because the exchange's is null outside trading hours. The
//! answer names no currency.

use reqwest::Url;
use serde::Deserialize;

use super::web::fields::{self, Field};
use super::web::{Api, Fault, Found, Received, Request, is_name, list, tolerant, url};
use super::{LimitScope, Limits, Refusal};
use crate::config::Secret;
use crate::market::{Quote, Symbol};

/// The free plan's: 50 requests an hour and 1,000 a day. Besides, it has 500 different symbols a
/// month. The number of symbols in a request is not documented; a hundred fit into a URL.
pub(crate) const LIMITS: Limits = Limits {
    per_hour: Some(50),
    per_day: Some(1_000),
    max_concurrent: 2,
    ..Limits::unlimited(100)
};

/// The API of Tiingo.
#[derive(Debug)]
pub(super) struct Tiingo;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow)]
    tngo_last: Field<'a>,
    #[serde(borrow)]
    timestamp: Field<'a>,
}

/// The symbol of an entry, read separately, so that other fields cannot make it unreadable.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    ticker: Field<'a>,
}

#[derive(Deserialize)]
struct Detail<'a> {
    #[serde(borrow)]
    detail: Field<'a>,
}

impl Api for Tiingo {
    fn may_exist(&self, symbol: &str) -> bool {
        is_name(symbol, b".-")
    }

    fn request(&self, base: &Url, key: Option<&Secret>, symbols: &[&Symbol]) -> Request {
        let mut url = url(base, ["iex", ""]);
        url.query_pairs_mut().append_pair("tickers", &list(symbols));

        let key = format!("Token {}", key.map_or("", Secret::expose));
        Request::to(url).with_secret("authorization", &key)
    }

    fn read(&self, received: &Received, _: &[&Symbol]) -> Result<Found, Fault> {
        if let Some(fault) = told(received) {
            return Err(fault);
        }
        if let Some(fault) = Fault::of_status(received) {
            return Err(fault);
        }

        let entries = tolerant::list(&received.body).ok_or_else(Fault::shape)?;
        let mut found = Found::default();
        for text in entries {
            let named = serde_json::from_str::<Named<'_>>(text).ok();
            let Some(symbol) = named.and_then(|named| fields::symbol(named.ticker)) else {
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

/// What the answer says in words, in JSON or as a line of text, with any status.
fn told(received: &Received) -> Option<Fault> {
    let detail = serde_json::from_str::<Detail<'_>>(&received.body).ok();
    let detail = detail.and_then(|detail| fields::text(detail.detail).map(String::from));
    let plain = || received.is_line().then(|| received.body.clone());
    let words = detail.or_else(plain)?;

    let says = |part: &str| words.contains(part);
    if says("run over your") {
        let scope = match () {
            () if says("hour") => LimitScope::Hour,
            () if says("month") => LimitScope::Month,
            () => LimitScope::Day,
        };
        return Some(Fault::limited(received, scope));
    }

    let refusal = match () {
        () if says("Invalid token") || says("credentials") => Refusal::KeyRefused,
        () if says("permission") => Refusal::Plan,
        () => return None,
    };
    Some(Fault::NotAllowed(refusal))
}

impl Entry<'_> {
    fn quote(&self, symbol: &Symbol, received: &Received) -> Result<Quote, Fault> {
        let time = fields::rfc3339(self.timestamp);

        Ok(Quote {
            symbol: symbol.clone(),
            price: fields::price(self.tngo_last)?,
            currency: None,
            timestamp: fields::market_time(time, received.received_at)?,
        })
    }
}
