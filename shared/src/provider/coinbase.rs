//! Coinbase Exchange: crypto-currencies, one product such as `BTC-USD` per request, without a key.

use reqwest::Url;
use serde::Deserialize;

use super::web::fields::{self, Field};
use super::web::{Api, Fault, Found, Received, Request, is_name, url};
use super::{LimitScope, Limits, MarketHours};
use crate::config::Secret;
use crate::market::{Quote, Symbol};

/// Ten requests a second from one address.
pub(crate) const LIMITS: Limits = Limits {
    per_second: Some(10),
    max_concurrent: 5,
    ..Limits::unlimited(1)
};

/// The API of Coinbase Exchange.
#[derive(Debug)]
pub(super) struct Coinbase;

#[derive(Deserialize)]
struct Ticker<'a> {
    #[serde(borrow)]
    price: Field<'a>,
    #[serde(borrow)]
    time: Field<'a>,
    /// Of errors only.
    #[serde(borrow)]
    message: Field<'a>,
}

impl Api for Coinbase {
    fn market_hours(&self) -> MarketHours {
        MarketHours::AlwaysOpen
    }

    fn may_exist(&self, symbol: &str) -> bool {
        is_name(symbol, b"-")
    }

    fn request(&self, base: &Url, _: Option<&Secret>, symbols: &[&Symbol]) -> Request {
        Request::to(url(base, ["products", symbols[0].as_str(), "ticker"]))
    }

    fn read(&self, received: &Received, symbols: &[&Symbol]) -> Result<Found, Fault> {
        let ticker = serde_json::from_str::<Ticker<'_>>(&received.body).ok();
        let message = ticker
            .as_ref()
            .and_then(|ticker| fields::text(ticker.message));

        // Its own words make a 404 one about the product, and not about the address.
        let says = |words: &str| message.as_deref().is_some_and(|told| told == words);
        if received.status == 404 && says("NotFound") {
            return Ok(Found::default());
        }
        match Fault::of_status_without_key(received) {
            Some(Fault::RateLimited { .. }) => {
                return Err(Fault::limited(received, LimitScope::Second));
            }
            Some(fault) => return Err(fault),
            None => {}
        }

        let ticker = ticker.ok_or_else(Fault::shape)?;
        if ticker.price.is_none() && ticker.time.is_none() {
            return Err(Fault::shape());
        }
        Ok(Found::one(symbols[0], ticker.quote(symbols[0], received)))
    }
}

impl Ticker<'_> {
    fn quote(&self, symbol: &Symbol, received: &Received) -> Result<Quote, Fault> {
        let time = fields::rfc3339(self.time);
        let symbol_upper = symbol.to_upper_case();
        let unit = symbol_upper.as_str().rsplit_once('-').map(|(_, unit)| unit);

        Ok(Quote {
            symbol: symbol.clone(),
            price: fields::price(self.price)?,
            currency: unit.and_then(|unit| unit.parse().ok()),
            timestamp: fields::market_time(time, received.received_at)?,
        })
    }
}
