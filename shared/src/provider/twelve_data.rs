//! Twelve Data: stocks, currencies and crypto-currencies, several per request, with the key in a
//! header.
//!
//! An answer about one symbol is its quote; one about several is an object with the quote, or the
//! error, of each. Errors come with status 200 as well as with their own.

use reqwest::Url;
use serde::Deserialize;

use super::web::fields::{self, Field};
use super::web::{Api, Fault, Found, Received, Request, is_name, list, tolerant, url};
use super::{Cost, LimitScope, Limits, Refusal};
use crate::config::Secret;
use crate::market::{Quote, Symbol};

/// The free plan's: 8 credits a minute and 800 a day; each symbol costs one.
pub(crate) const LIMITS: Limits = Limits {
    per_minute: Some(8),
    per_day: Some(800),
    utc_day: true,
    cost: Cost::PerSymbol,
    max_concurrent: 4,
    ..Limits::unlimited(8)
};

/// The API of Twelve Data.
#[derive(Debug)]
pub(super) struct TwelveData;

/// A quote, or an error.
#[derive(Deserialize)]
struct Entry<'a> {
    /// The last price.
    #[serde(borrow)]
    close: Field<'a>,
    #[serde(borrow)]
    currency: Field<'a>,
    /// The time of the last price, in seconds.
    #[serde(borrow)]
    last_quote_at: Field<'a>,
    /// The start of the last bar, in seconds: of quotes without a time of their own.
    #[serde(borrow)]
    timestamp: Field<'a>,
    #[serde(borrow)]
    symbol: Field<'a>,
    #[serde(borrow)]
    code: Field<'a>,
    #[serde(borrow)]
    message: Field<'a>,
}

impl Api for TwelveData {
    fn may_exist(&self, symbol: &str) -> bool {
        is_name(symbol, b".-:/_")
    }

    fn request(&self, base: &Url, key: Option<&Secret>, symbols: &[&Symbol]) -> Request {
        let mut url = url(base, ["quote"]);
        url.query_pairs_mut().append_pair("symbol", &list(symbols));

        let key = format!("apikey {}", key.map_or("", Secret::expose));
        Request::to(url).with_secret("authorization", &key)
    }

    fn read(&self, received: &Received, symbols: &[&Symbol]) -> Result<Found, Fault> {
        let entry = serde_json::from_str::<Entry<'_>>(&received.body).ok();

        match (entry, symbols) {
            (Some(entry), [symbol]) => match entry.quote(symbol, received) {
                Err(fault @ (Fault::Unavailable(_) | Fault::Malformed(_))) => {
                    Err(Fault::of_status(received).unwrap_or(fault))
                }
                quote => Ok(Found::one(symbol, quote)),
            },
            (None, [_]) => Err(Fault::of_status(received).unwrap_or_else(Fault::shape)),
            (Some(entry), _) => match entry.fault(received) {
                Some(Fault::Unknown) => entry.of_list(),
                Some(fault) => Err(fault),
                None => read_list(received, symbols),
            },
            (None, _) => read_list(received, symbols),
        }
    }
}

/// The quotes of a list, whose members have the symbols as names.
fn read_list(received: &Received, symbols: &[&Symbol]) -> Result<Found, Fault> {
    if let Some(fault) = Fault::of_status(received) {
        return Err(fault);
    }

    let is_asked = |name: &str| {
        let mut asked = symbols.iter();
        asked.any(|symbol| symbol.as_str().eq_ignore_ascii_case(name))
    };
    let members = tolerant::members(&received.body, is_asked).ok_or_else(Fault::shape)?;
    let mut found = Found::default();
    for member in members {
        let named = member.and_then(|(name, value)| Some((name.parse::<Symbol>().ok()?, value)));
        let Some((symbol, value)) = named else {
            found.add_nameless();
            continue;
        };

        let symbol = symbol.to_upper_case();
        let entry = serde_json::from_str::<Entry<'_>>(value);
        let quote = entry.map_or_else(
            |_| Err(Fault::entry(&symbol)),
            |entry| entry.quote(&symbol, received),
        );
        found.add(&symbol, quote);
    }

    Ok(found)
}

impl Entry<'_> {
    fn quote(&self, symbol: &Symbol, received: &Received) -> Result<Quote, Fault> {
        if let Some(fault) = self.fault(received) {
            return Err(fault);
        }
        if self.close.is_none() && self.symbol.is_none() {
            return Err(Fault::entry(symbol));
        }
        // Without the exchange after the colon.
        let (name, _) = symbol
            .as_str()
            .split_once(':')
            .unwrap_or((symbol.as_str(), ""));
        if fields::names_another(self.symbol, name) {
            return Err(Fault::of_another(symbol));
        }

        let time = fields::seconds(self.last_quote_at).or_else(|| fields::seconds(self.timestamp));
        Ok(Quote {
            symbol: symbol.clone(),
            price: fields::price(self.close)?,
            currency: fields::currency(self.currency),
            timestamp: fields::market_time(time, received.received_at)?,
        })
    }

    /// What an error about symbols means for a whole list: none of them is known, if it says so.
    fn of_list(&self) -> Result<Found, Fault> {
        match fields::whole(self.code) {
            Some(404) => Ok(Found::default()),
            Some(code) => Err(Fault::reported_as(code)),
            None => Err(Fault::reported()),
        }
    }

    /// What the entry reports instead of a quote.
    fn fault(&self, received: &Received) -> Option<Fault> {
        let code = fields::whole(self.code)?;
        let message = fields::text(self.message).unwrap_or_default();
        let says = |part: &str| message.contains(part);

        Some(match code {
            401 => Fault::NotAllowed(Refusal::KeyRefused),
            402 | 403 => Fault::NotAllowed(Refusal::Plan),
            // Symbols of other plans are "not found" too, with an invitation to another plan.
            404 if says(" plan") => Fault::NotAllowed(Refusal::Plan),
            404 => Fault::Unknown,
            400 if says("symbol") => Fault::Unknown,
            429 if says("minute") => Fault::limited(received, LimitScope::Minute),
            429 if says("day") || says("daily") => Fault::limited(received, LimitScope::Day),
            429 => Fault::RateLimited {
                retry_after: received.retry_after,
                scope: None,
            },
            500..=599 => Fault::Unavailable("its service is down or busy".to_owned()),
            code => Fault::reported_as(code),
        })
    }
}
